"""docs/explanation/benchmarks.md and its pictures, made from the results and from nothing else."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.harness import chart, environment
from benchmarks.harness.statistic import summary
from benchmarks.harness.store import load
from benchmarks.harness.table import failures, markdown, summaries, versions
from benchmarks.harness.verdict import best_tuned, error_verdict, throughput_verdict
from benchmarks.parts.error import RECIPES
from benchmarks.parts.inference import ANSWERERS
from benchmarks.parts.startup import STARTS
from benchmarks.parts.throughput import SGEMM
from benchmarks.parts.trainer import TRAINERS
from benchmarks.workers.cases import CASES

__all__ = ["page", "write"]

_INTRODUCTION = """# Benchmarks

Written by `make bench-page` from `benchmarks/results/*.json`; no figure is typed by hand. Peers run
in environments of their own, pinned in `benchmarks/peers/` and made by the first run that needs
them. What one call measures is interleaved (A B C, C B A, ...), each in a process of its own;
figures are medians, ranges in brackets. Rows of fewer repeats come from other calls, perhaps from
an hour in which the machine was a fifth slower or faster. A peer that does not install or fails is
named with the reason.

| command | measures | on two cores, about |
| --- | --- | --- |
| `make bench-prepare` | nothing: installs the peers (7 GB) | 15 min |
| `make bench-throughput` | training steps, share of the SGEMM peak | 90 min |
| `make bench-error` | CIFAR-10, error against seconds; needs `STRIATE_DATA` or `--data` | 10 h |
| `make bench-data` | decoding and batches | 10 min |
| `make bench-inference` | latency and throughput | 30 min |
| `make bench-startup` | seconds until something happens | 5 min |
| `make bench-memory` | the most that training holds | 20 min |

Every part goes on where it was stopped and can be taken in pieces:
`make bench-error BENCH_ARGS="--budgets 60,300 --only striate,resnet18 --repeats 3"`,
`make bench-throughput BENCH_ARGS="--cases vgg,wide --max-minutes 20"`. `--isa avx2` holds all but
onnxruntime to older instructions, in files of their own. `--quick` shows in tiny batches that
everything runs; its figures mean nothing and are kept apart.
"""

_LEFT_OUT = (
    "Left out: AutoGluon, whose dependencies could not be resolved within five minutes, and "
    "Ultralytics; both begin from published weights, which is another task."
)

_Section = Callable[[Mapping[str, Any], Path, str], list[str]]


def write(results: Path, *, quick: bool = False) -> Path:
    """Write the page and its pictures, print the verdicts, and return the page's path.

    Pages of quick runs, and of results kept elsewhere, go beside their results.
    """
    published = results.resolve() == (environment.ROOT / "benchmarks" / "results") and not quick
    docs = environment.ROOT / "docs" / "explanation" if published else results
    path = docs / "benchmarks.md"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page(results, docs / "images" / "bench"), "utf-8")
    for part, verdict in (("throughput", throughput_verdict), ("error", error_verdict)):
        for file in sorted(results.glob(f"{part}*.json")):
            if not file.name.endswith(".before.json"):
                for line in verdict(load(file)):
                    print(f"{file.stem}: {line}")
    print(f"Page: {path}")
    return path


def page(results: Path, pictures: Path) -> str:
    """The page as Markdown; pictures are written into their folder."""
    parts = [_INTRODUCTION]
    for part, (title, section) in _SECTIONS.items():
        files = [results / f"{part}.json", *sorted(results.glob(f"{part}-*.json"))]
        held = [path for path in files if path.is_file() and ".before" not in path.name]
        parts.append(f"## {title}\n")
        if not held:
            parts.append(f"Not measured yet: `make bench-{part}`.\n")
        for path in held:
            content = load(path)
            if content["isa"]:
                parts.append(f"### Held to {content['isa'].upper()}\n")
            parts += [
                *section(content, pictures, path.stem),
                _provenance(content, _PEERS.get(part, ())),
            ]
    return "\n".join(parts)


def _provenance(content: Mapping[str, Any], peers: Iterable[str]) -> str:
    """Hardware, versions, how many repeats, how quiet it was, what is missing."""
    machine = content["machine"]
    vectors = ", ".join(machine["vector instructions"]) or "no vector instructions known"
    repeats = [record["repeat"] + 1 for record in content["records"]]
    others = [record["others"] for record in content["records"] if record.get("others") is not None]
    days = sorted({record["taken"][:10] for record in content["records"]})
    used = {"Python": machine["python"], **versions(content)}
    lines = [
        f"{machine['processor']}, {machine['cores']} core(s), {machine['memory_gib']} GiB, "
        f"{vectors}; {machine['system']}; "
        + ", ".join(f"{name} {number}" for name, number in used.items())
        + f". Up to n = {max(repeats, default=0)} repeats, {' to '.join(days[:1] + days[1:][-1:])}."
    ]
    if others:
        busy = sorted(others)[len(others) // 2]
        lines.append(
            f"Others used {busy:.0%} of the machine meanwhile (median; at most {max(others):.0%})."
        )
    if content["settings"].get("quick"):
        lines.append("**A quick run: it shows that everything runs, its figures mean nothing.**")
    met = {record["peer"] for record in content["records"]} | set(content["absent"])
    unmet = [f"`{peer}`" for peer in peers if peer not in met]
    missing = failures(content)
    missing += [f"Not measured: {', '.join(unmet)}."] if unmet else []
    lines += ["", *[f"- {line}" for line in missing]] if missing else []
    return "\n".join([*lines, ""])


def _throughput(content: Mapping[str, Any], pictures: Path, stem: str) -> list[str]:
    table = summaries(content, lambda value: value.get("images_per_second", 0.0))
    peaks = [
        record["value"]["flops_per_second"]
        for record in content["records"]
        if record["case"] == SGEMM and "value" in record
    ]
    peak = max(peaks, default=None)
    table = {case: table[case] for case in CASES if case in table}
    titles = {name: trainer.title for name, trainer in TRAINERS.items()}
    chart.bars(
        pictures / f"{stem}.svg",
        table,
        titles,
        label="images/s, PyTorch = 1",
        base="torch",
        cases={
            name: case.title.replace(", ", ",\n").replace(" ", "\n", 1)
            for name, case in CASES.items()
        },
    )
    lines = [f"- {line}" for line in throughput_verdict(content)]
    lines += ["", f"![Training throughput](images/bench/{stem}.svg)", ""]
    rows = []
    for name in TRAINERS:
        if any(name in row for row in table.values()):
            cells = [table[case].get(name, "–") for case in table]
            rows.append([titles[name], *cells])
    heads = [f"{CASES[case].title}, batch {CASES[case].batch}" for case in table]
    lines += ["Images a second, whole training steps:", "", markdown(["", *heads], rows), ""]
    if peak:
        shares = [
            [titles[name], *[_share(table[case].get(name), case, peak) for case in table]]
            for name in TRAINERS
            if any(name in row for row in table.values())
        ]
        lines += [
            f"Share of the machine's SGEMM peak ({peak / 1e9:.0f} GFLOP/s), counting the "
            "operations of direct convolution; Winograd's form needs fewer and may pass 100 %:",
            "",
            markdown(["", *heads], shares),
            "",
        ]
    return lines + _choices(content, table)


def _share(found: Any, case: str, peak: float) -> str:
    return "–" if found is None else f"{found.median * CASES[case].step_flops / peak:.0%}"


def _choices(content: Mapping[str, Any], table: Mapping[str, Any]) -> list[str]:
    """The fastest PyTorch of each network, and which settings the search kept."""
    rows = []
    for case, row in table.items():
        best = best_tuned(row)
        if best is None:
            continue
        found = content["choices"].get(case, {})
        kept = [
            ", ".join(
                entry["toggle"]
                for entry in found.get(peer, {}).get("tried", [])
                if entry.get("kept")
            )
            for peer in ("torch-tuned", "striate")
        ]
        how = {
            r["value"].get("how") for r in content["records"] if r["case"] == case and "value" in r
        }
        how.discard(None)
        words = "; ".join(sorted(how)) or "–"
        rows.append(
            [CASES[case].title, TRAINERS[best[0]].title, *[k or "none" for k in kept], words]
        )
    if not rows:
        return []
    heads = ["", "fastest PyTorch", "search kept, PyTorch", "search kept, Striate", "Striate ran"]
    return ["What was chosen:", "", markdown(heads, rows), ""]


def _error(content: Mapping[str, Any], pictures: Path, stem: str) -> list[str]:
    table = summaries(content, lambda value: value["test_error"])
    seconds = summaries(content, lambda value: value["seconds"])
    titles = {name: recipe.title for name, recipe in RECIPES.items()}
    labels = ("seconds, everything included", "test error, %")
    chart.curves(pictures / f"{stem}.svg", table, titles, labels=labels)
    budgets = sorted(table, key=float)
    rows = []
    for name in RECIPES:
        cells = []
        for budget in budgets:
            found = table[budget].get(name)
            if found is None:
                cells.append("–")
                continue
            spread = "" if found.n == 1 else f" ({100 * found.low:.1f}–{100 * found.high:.1f})"
            took = seconds[budget][name].median
            cells.append(f"{100 * found.median:.1f}{spread}, n = {found.n}; {took:.0f} s")
        if any(cell != "–" for cell in cells):
            rows.append([titles[name], *cells])
    images = content["settings"].get("images")
    note = f" Peers answered only {images} test images." if images else ""
    heads = ["", *[f"{float(budget):g} s" for budget in budgets]]
    return [
        *[f"- {line}" for line in error_verdict(content)],
        "",
        f"![Error against seconds](images/bench/{stem}.svg)",
        "",
        f"Error on the official test split of {content['settings']['data']}, %, and the seconds "
        "that the whole training took. Cold: the images are decoded in that time (by Striate's "
        "own decoder, by Pillow on all cores); else they were decoded before. Peers train on all "
        f"training images, Striate holds 2,500 to 5,000 of them back for validation.{note}",
        "airbench's recipe is without its Lookahead, and answers for two views (itself and its "
        "mirror image).",
        "",
        markdown(heads, rows),
        "",
        _LEFT_OUT,
        "",
    ]


def _inference(content: Mapping[str, Any], pictures: Path, stem: str) -> list[str]:
    titles = {name: answerer.title for name, answerer in ANSWERERS.items()}
    lines: list[str] = []
    for batch in map(str, content["settings"]["batches"]):

        def milliseconds(value: dict[str, Any], batch: str = batch) -> float:
            return 1e3 * float(value["batches"][batch]["step_seconds"])

        def speed(value: dict[str, Any], batch: str = batch) -> float:
            return int(batch) / float(value["batches"][batch]["step_seconds"])

        one = batch == "1"
        table = summaries(content, milliseconds if one else speed)
        what = "Milliseconds for one image" if one else f"Images a second, batch {batch}"
        name = f"{stem}-{batch}.svg"
        if not one:
            chart.bars(
                pictures / name,
                table,
                titles,
                label="images/s, PyTorch = 1",
                base="torch",
                cases={case: CASES[case].title for case in table},
            )
            lines += [f"![Inference throughput](images/bench/{name})", ""]
        rows = [
            [titles[peer], *[table[case].get(peer, "–") for case in table]]
            for peer in ANSWERERS
            if any(peer in row for row in table.values())
        ]
        heads = ["", *[CASES[case].title for case in table]]
        lines += [f"{what}:", "", markdown(heads, rows), ""]
    return lines


def _startup(content: Mapping[str, Any], pictures: Path, stem: str) -> list[str]:
    table = summaries(content, lambda value: value["seconds"])
    rows = [
        [start.title, found, found.n]
        for name, start in STARTS.items()
        for row in table.values()
        if (found := row.get(name)) is not None
    ]
    return [markdown(["", "seconds", "n"], rows), ""]


def _memory(content: Mapping[str, Any], pictures: Path, stem: str) -> list[str]:
    table = summaries(content, lambda value: value["peak_bytes"] / 2**20)
    table = {case: table[case] for case in CASES if case in table}
    rows = [
        [trainer.title, *[table[case].get(name, "–") for case in table]]
        for name, trainer in TRAINERS.items()
        if any(name in row for row in table.values())
    ]
    heads = ["", *[f"{CASES[case].title}, batch {CASES[case].batch}" for case in table]]
    return [
        "Peak resident memory of a process that trains a few steps, MiB (libraries included; "
        "compilers that it starts are not):",
        "",
        markdown(heads, rows),
        "",
    ]


def _data(content: Mapping[str, Any], pictures: Path, stem: str) -> list[str]:
    """Batches and decoding, as `benchmarks/data_throughput.py` found them the last time."""
    values = [record["value"] for record in content["records"] if "value" in record]
    if not values:
        return []
    batches, decoding = [], []
    for name, measured in values[-1]["sets"].items():
        ratios = measured["batches"]["ratios"]
        for way, rates in measured["batches"]["rates"].items():
            times = summary(ratios[way]) if way in ratios else ""
            batches.append([name, way, summary(rates), times])
        for way, rates in measured["decoding"]["rates"].items():
            decoding.append([name, way, summary(rates)])
    return [
        "Augmented, normalised batches from the memory-mapped cache, and from a DataLoader of",
        "PyTorch that opens the same images one by one; images a second, median of all rounds:",
        "",
        markdown(["images", "batches", "images/s", "ours, times as fast"], batches),
        "",
        "Decoding, from memory: for the cache with digest and thumbnail, for `predict` without:",
        "",
        markdown(["images", "decoding", "images/s"], decoding),
        "",
    ]


_PEERS: dict[str, Iterable[str]] = {
    "throughput": TRAINERS,
    "error": RECIPES,
    "inference": ANSWERERS,
    "memory": TRAINERS,
}

_SECTIONS: dict[str, tuple[str, _Section]] = {
    "throughput": ("Training throughput", _throughput),
    "error": ("CIFAR-10: error against seconds", _error),
    "data": ("Data", _data),
    "inference": ("Inference", _inference),
    "startup": ("Start-up", _startup),
    "memory": ("Memory", _memory),
}
