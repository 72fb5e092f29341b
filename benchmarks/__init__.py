"""What the runbook costs, each thing beside its peer: ``python -m benchmarks``."""
