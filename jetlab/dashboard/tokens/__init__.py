"""The view "Tokens": what jets lose when they become codes, what a code stands for, and which tokenizer to take."""
