"""What a camera does not say is said by its site."""

import yaml

from oddframe.runtime.watch.site import load_site


def test_a_cameras_own_windows_keep_the_sites_time_zone(tmp_path):
    windows = [{"days": ["mon"], "from": "22:00", "to": "06:00"}]
    shared = {"timezone": "Europe/Berlin", "outside": "nothing", "windows": windows}
    own = [{"days": ["sun"], "from": "00:00", "to": "24:00"}]
    path = tmp_path / "site.yaml"
    path.write_text(yaml.safe_dump({
        "detect": {"model": "RUN", "schedule": shared},
        "cameras": {
            "gate": {"source": 0, "detect": {"schedule": {"windows": own}}},
            "yard": {"source": 1},
            "door": {"source": 2, "detect": {"schedule": own}},
        },
    }))  # fmt: skip
    cameras = load_site(path).cameras
    gate, yard = (cameras[name].detect.schedule for name in ("gate", "yard"))
    assert (gate.timezone, gate.outside) == (yard.timezone, yard.outside)
    assert gate.timezone == "Europe/Berlin"
    assert gate.windows != yard.windows
    assert cameras["door"].detect.schedule == gate
