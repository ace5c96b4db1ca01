"""Archives: any amount of recorded footage scored by many processes or machines, resumable.

    DIR/manifest.json            the RUN by hashes, settings, versions, files
    DIR/files/ID/plan.json       where a file is cut into segments
    DIR/files/ID/START.parquet   the scores of a segment, by the number of its first frame
    DIR/files.csv                every file: frames, its highest level, whether all of it is there
    DIR/failed.csv               what could not be scored, and why; absent where there is nothing
    DIR/events.csv, events.json  what `archive events` found, by level
    DIR/events/RANK.jpg          its pictures
    DIR/events.html              the same to look through

A segment is done exactly when its Parquet file is there and valid. Nothing else is remembered, so
whatever is lost on the way, the same command goes on.

    files -> plan -> segments -> an engine: processes here, or actors of Ray -> Parquet -> events
"""
