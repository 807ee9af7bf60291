"""How a model is trained: one loop, phases, initialisation, batches, events, devices."""
