"""What a training step will need on hardware that is not at hand: memory, time, money (`edtalk compile-report`)."""
