"""Models in and out of the project: official weights, the Hugging Face hub, StableHLO."""
