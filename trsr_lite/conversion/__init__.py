"""From a training run to a bundle: merge, GGUF, quantize, verify. torch and transformers are imported here."""
