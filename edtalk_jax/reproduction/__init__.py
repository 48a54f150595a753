"""The paper's tables, made again by one resumable recipe."""
