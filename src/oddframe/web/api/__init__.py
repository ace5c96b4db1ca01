"""What can be asked and changed over HTTP, a file for each part, its answers beside it.

cameras   /api/cameras, /api/events, /api/gaps     as they are
live      /api/live, snapshots, /api/scores        as they come
change    zones, masks, thresholds
verdicts  what people say of events, and what is learned from it
setup     cameras, recordings, fits, calibrations, RUNs
system    machine, settings, log, who changed what
me        /api/me, /api/session                    who somebody is
"""
