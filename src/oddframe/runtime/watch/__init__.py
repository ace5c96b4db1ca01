"""Cameras watched for months: reader -> engine -> desk -> store and sinks."""
