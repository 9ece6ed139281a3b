"""Ranking without torch: onnxruntime, tokenizers and numpy."""
