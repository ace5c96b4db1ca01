"""From nothing to a watching camera: record, fit, calibrate, hand the RUN to the camera.

    job         one of these, and what is known of it
    jobs        all of them: which is next, pause, cancel, what a restart goes on with
    child       the process that each runs in
    work        what it does there: the library calls of the commands of these names
    footage     which recordings train, and which are kept for the threshold
    known       the RUNs of a site
    probe       whether a source can be opened
    tap         the frames of a webcam, which only one process may open

All lies below a store: `setup/` jobs, `footage/CAMERA/` recordings, `runs/NAME/` RUNs.
"""
