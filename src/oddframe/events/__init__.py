"""From levels to events: one thing that happened in front of one camera, from start to end.

level -> tracker (hysteresis, gaps, zones) -> event (start, update, end) -> store -> outbox
"""
