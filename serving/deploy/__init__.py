"""What a site needs to run TensorFlow Serving, the gateway and their monitoring; docs/deployment.md tells how."""
