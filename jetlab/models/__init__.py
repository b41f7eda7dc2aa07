"""Backbones, tokenizers and heads: one readable file an architecture. No losses, loops or files here."""
