"""From scores of normal footage to a threshold, and to what it promises: alarms a day."""
