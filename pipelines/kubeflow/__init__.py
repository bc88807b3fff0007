"""The pipeline in containers: what they run, what the compiled specification says, and how Vertex AI takes part.

`pipelines.kubeflow_runner` puts these together.
"""
