"""The providers that LiveKit and OpenTelemetry have, and how the pipeline stays in them."""
