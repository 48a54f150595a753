"""How good a model is: metrics, protocols, baselines and the report. docs/evaluation.md defines every number."""
