-- The newest layout of events.db, as a new store gets it; `database.STEPS` brings older ones
-- here. Times are seconds since 1970 (UTC), lists and maps are JSON.

CREATE TABLE events (
    id           TEXT PRIMARY KEY,
    camera       TEXT NOT NULL,
    state        TEXT NOT NULL CHECK (state IN ('start', 'update', 'end')),
    severity     TEXT NOT NULL,
    start_utc    REAL NOT NULL,
    end_utc      REAL,                        -- the last frame in alarm; NULL while it is open
    seen_utc     REAL NOT NULL,               -- known to be in alarm up to here, within seconds
    peak_utc     REAL NOT NULL,
    peak_level   REAL NOT NULL,               -- score / threshold
    peak_raw     REAL NOT NULL,               -- score
    threshold    REAL NOT NULL,
    width        INTEGER NOT NULL,            -- of the source's picture, what boxes count in
    height       INTEGER NOT NULL,
    zones_json   TEXT NOT NULL,
    boxes_json   TEXT NOT NULL,               -- [[x, y, w, h], ...] in pixels, largest first
    reasons_json TEXT NOT NULL,
    streams_json TEXT NOT NULL,
    snapshot     TEXT,                        -- files: relative to the folder of the store
    clip         TEXT,
    ended        TEXT,                        -- why it is over
    model_hash   TEXT NOT NULL,
    updates      INTEGER NOT NULL DEFAULT 0,  -- how many were told
    verdict      TEXT CHECK (verdict IN ('real', 'false_alarm')),
    verdict_utc  REAL,
    note         TEXT NOT NULL DEFAULT '',
    CHECK ((state = 'end') = (end_utc IS NOT NULL))
);
CREATE INDEX events_camera ON events (camera, id);
CREATE INDEX events_open ON events (id) WHERE state <> 'end';

-- One row per camera and minute with a score: a minute that is not here had none.
CREATE TABLE minutes (
    camera     TEXT NOT NULL,
    t_utc      INTEGER NOT NULL,              -- its first second
    frames     INTEGER NOT NULL,              -- scored
    dropped    INTEGER NOT NULL,
    level_mean REAL NOT NULL,
    level_max  REAL NOT NULL,
    PRIMARY KEY (camera, t_utc)
) WITHOUT ROWID;

-- Periods without score, and why. They are not normal: nobody looked.
CREATE TABLE gaps (
    id        INTEGER PRIMARY KEY,
    camera    TEXT NOT NULL,
    start_utc REAL NOT NULL,
    end_utc   REAL,                           -- NULL while it lasts
    why       TEXT NOT NULL
);
CREATE INDEX gaps_camera ON gaps (camera, start_utc);
CREATE UNIQUE INDEX gaps_open ON gaps (camera) WHERE end_utc IS NULL;

-- Every threshold that was ever in force; the newest of a camera and a light is.
CREATE TABLE calibrations (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    camera      TEXT NOT NULL,
    model_hash  TEXT NOT NULL,
    hours       REAL NOT NULL,
    peaks_json  TEXT NOT NULL,                -- '[]': nobody needs them
    threshold   REAL NOT NULL,
    low         REAL NOT NULL,                -- alarms a day that may be expected, from ... to
    high        REAL NOT NULL,
    created_utc REAL NOT NULL,
    why         TEXT NOT NULL,
    light       TEXT NOT NULL DEFAULT ''      -- that it is of; '': of all
);
CREATE INDEX calibrations_camera ON calibrations (camera, id);

-- What sinks are to be told, in this order. Told ones stay as long as their event: their keys keep
-- them from being told again.
CREATE TABLE outbox (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    sink     TEXT NOT NULL,
    event_id TEXT NOT NULL REFERENCES events (id) ON DELETE CASCADE,
    state    TEXT NOT NULL,                   -- of the event in this message
    key      TEXT NOT NULL,                   -- <event>/start, <event>/update/2, <event>/end
    payload  TEXT NOT NULL,                   -- the event as JSON; empty once nobody needs it
    fate     TEXT NOT NULL DEFAULT 'waiting'
             CHECK (fate IN ('waiting', 'done', 'refused', 'superseded', 'dropped')),
    tries    INTEGER NOT NULL DEFAULT 0,      -- that failed
    put_utc  REAL NOT NULL,
    next_utc REAL,                            -- of the next try; for people, never read back
    why      TEXT,                            -- it failed last
    UNIQUE (sink, key)
);
-- All that the search for the next message reads: 10,000 that wait need no look at their payloads.
CREATE INDEX outbox_waiting ON outbox (sink, id, event_id, put_utc, fate) WHERE fate = 'waiting';
CREATE INDEX outbox_aside ON outbox (sink, fate, id) WHERE fate IN ('refused', 'dropped');
CREATE INDEX outbox_event ON outbox (event_id, sink);

-- What a sink has to know to say more of an event it was told of (its id over there).
CREATE TABLE receipts (
    sink        TEXT NOT NULL,
    event_id    TEXT NOT NULL REFERENCES events (id) ON DELETE CASCADE,
    values_json TEXT NOT NULL,
    PRIMARY KEY (sink, event_id)
) WITHOUT ROWID;
CREATE INDEX receipts_event ON receipts (event_id);

-- Small things that survive a restart, such as whether a camera is armed.
CREATE TABLE state (
    camera     TEXT NOT NULL,
    key        TEXT NOT NULL,
    value_json TEXT NOT NULL,
    PRIMARY KEY (camera, key)
) WITHOUT ROWID;

-- What was changed over HTTP: by whom, what, and what came of it.
CREATE TABLE audit (
    id        INTEGER PRIMARY KEY AUTOINCREMENT,
    t_utc     REAL NOT NULL,
    who       TEXT NOT NULL,                  -- name of the token; "here" where none is needed
    address   TEXT NOT NULL,                  -- of the caller
    method    TEXT NOT NULL,
    path      TEXT NOT NULL,
    body      TEXT NOT NULL,                  -- as it was sent, cut, without secrets
    status    INTEGER NOT NULL
);
CREATE INDEX audit_time ON audit (t_utc);

-- What an event looked like, for a verdict that may come days later.
CREATE TABLE described (
    event_id   TEXT PRIMARY KEY REFERENCES events (id) ON DELETE CASCADE,
    spots      BLOB NOT NULL,                 -- scoring.spots.Spots
    trace_json TEXT NOT NULL                  -- [[time, level], ...] around it
) WITHOUT ROWID;
-- The few of many events that somebody has judged.
CREATE INDEX events_judged ON events (camera, verdict, id) WHERE verdict IS NOT NULL;

-- "That was normal": what is like it raises no alarm. It outlives its event.
CREATE TABLE exemplars (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    camera       TEXT NOT NULL,
    event_id     TEXT NOT NULL UNIQUE,
    model_hash   TEXT NOT NULL,               -- it holds for these weights alone
    created_utc  REAL NOT NULL,
    place_json   TEXT NOT NULL,               -- [x, y, w, h] in pixels
    reasons_json TEXT NOT NULL,
    spots        BLOB NOT NULL,
    silenced     INTEGER NOT NULL DEFAULT 0,  -- how often
    silenced_utc REAL                         -- the last time
);
CREATE INDEX exemplars_camera ON exemplars (camera, id);

-- The most unusual of what raised no alarm: what an event is held against.
CREATE TABLE normals (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    camera     TEXT NOT NULL,
    model_hash TEXT NOT NULL,
    t_utc      REAL NOT NULL,
    level      REAL NOT NULL,
    spots      BLOB NOT NULL,
    picture    TEXT NOT NULL                  -- a file, relative to the folder of the store
);
CREATE INDEX normals_camera ON normals (camera, level);
