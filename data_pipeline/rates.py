"""The rates of every record's pictures and sound."""

FPS = 25  # frames per second (the rate that EDTalk's audio windows assume)
AUDIO_RATE = 16_000  # Hz
