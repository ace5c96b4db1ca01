"""Training: which footage, the Lightning adapter, progress and resume, the RUN it leaves."""
