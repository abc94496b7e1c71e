"""A limit on the vector instructions, so that older machines can be told apart on a new one."""

__all__ = ["ISAS", "variables"]

ISAS = ("avx2",)

_VARIABLES = {
    "avx2": {
        "ONEDNN_MAX_CPU_ISA": "AVX2",
        "DNNL_MAX_CPU_ISA": "AVX2",
        "MKL_ENABLE_INSTRUCTIONS": "AVX2",
        "ATEN_CPU_CAPABILITY": "avx2",
        "OPENBLAS_CORETYPE": "Haswell",
        "XLA_FLAGS": "--xla_cpu_max_isa=AVX2",
        "STRIATE_ISA": "avx2",
    }
}
# onnxruntime has no such switch: its figures keep the machine's own instructions.


def variables(isa: str | None) -> dict[str, str]:
    """Environment variables that hold libraries to an instruction set."""
    return dict(_VARIABLES[isa]) if isa else {}
