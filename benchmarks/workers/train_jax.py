"""A training step in JAX and Flax, compiled with jit: images a second, memory."""

import itertools
from importlib.metadata import version

import jax
import jax.numpy as jnp
import optax
from batches import batches
from networks_flax import build
from protocol import argument, peak_memory, say, timed


def main() -> None:
    asked = argument()
    made = batches(asked["case"], channels_last=True, batch=asked.get("batch"))
    data = itertools.cycle(made)
    network = build(asked["case"])
    key = jax.random.key(0)
    start = jax.jit(lambda k, x: network.init({"params": k, "dropout": k}, x, train=True))
    variables = start(key, jnp.asarray(made[0][0][:2]))
    weights = variables["params"]
    averages = {name: value for name, value in variables.items() if name != "params"}
    held = peak_memory()
    optimiser = optax.chain(
        optax.add_decayed_weights(5e-4), optax.sgd(0.001, momentum=0.9, nesterov=True)
    )
    state = optimiser.init(weights)

    def update(weights, averages, state, key, images, target):
        key, drop = jax.random.split(key)

        def objective(weights):
            scores, changed = network.apply(
                {"params": weights, **averages},
                images,
                train=True,
                mutable=list(averages),
                rngs={"dropout": drop},
            )
            loss = optax.softmax_cross_entropy_with_integer_labels(scores, target).mean()
            return loss, changed

        (loss, changed), gradients = jax.value_and_grad(objective, has_aux=True)(weights)
        changes, state = optimiser.update(gradients, state, weights)
        return optax.apply_updates(weights, changes), changed, state, key, loss

    # Donation lets XLA write new weights over the old ones.
    compiled = jax.jit(update, donate_argnums=(0, 1, 2))
    here = [weights, averages, state, key]

    def step() -> float:
        images, target = next(data)
        *here[:], loss = compiled(*here, jnp.asarray(images), jnp.asarray(target))
        jax.block_until_ready(here[0])
        return float(loss)

    found = timed(step, asked["seconds"], asked.get("fewest", 3))
    say(
        images_per_second=len(made[0][0]) / found["step_seconds"],
        **found,
        **peak_memory(),
        bytes_before=held.get("held_bytes"),
        versions={name: version(name) for name in ("jax", "flax", "optax")},
    )


if __name__ == "__main__":
    main()
