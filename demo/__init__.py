"""The offline call: a caller's audio, local models and a scripted agent, in a real LiveKit job."""
