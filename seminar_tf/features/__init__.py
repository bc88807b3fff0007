"""Names and specs that ingestion, Transform, training and serving share."""
