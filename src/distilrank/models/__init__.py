"""Networks and what they answer: logits, hidden states, attention scores. Tensors start here."""
