"""Entry points of the two TFX Trainers: each module's `run_fn`."""
