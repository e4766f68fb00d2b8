"""Scores many clips against the labels of their captions, and prints the table."""

from .score import score_clip

MOTION_RIGHT, LOOK_RIGHT, IN_TIME = 0.85, 0.95, 0.85  # what a good model reaches


def _pair(wanted, found):
    """For each wanted toy the found toy that is most like it, or None; each found toy is used once."""
    left, out = list(found), [None] * len(wanted)
    tests = [("shape", "colour"), ("colour",), ("shape",), ()]
    for keys in tests:
        for i, toy in enumerate(wanted):
            if out[i] is None:
                out[i] = next((f for f in left if all(f[k] == toy[k] for k in keys)), None)
                if out[i] is not None:
                    left.remove(out[i])
    return out


def compare(result, label):
    """One clip: result of score_clip against a label of toydata.labels(). Counts, to be added up over clips."""
    quiet = not result["impacts"] and not result["onsets"] and any(toy["motion"] != "still" for toy in label["toys"])
    out = {"clips": 1, "count_right": int(result["count"] == len(label["toys"])), "toys": 0, "look_right": 0,
           "shape_right": 0, "colour_right": 0, "size_right": 0, "motion_right": 0,
           "matched": result["matched"], "events": result["events"],
           "in_time_clips": int(result["matched"] == result["events"] and not quiet)}
    for toy, found in zip(label["toys"], _pair(label["toys"], result["toys"])):
        out["toys"] += 1
        if found is None:
            continue
        same = {k: found[k] == toy[k] for k in ("shape", "colour", "size", "motion")}
        for k, right in same.items():
            out[k + "_right"] += int(right)
        out["look_right"] += int(same["shape"] and same["colour"])
    out["all_right"] = int(out["count_right"] and out["look_right"] == out["motion_right"] == out["toys"]
                           and out["in_time_clips"])
    return out


def evaluate(clips, labels, progress=None):
    """clips: iterable of (video [T, H, W, 3] uint8, audio [S, 2] float or None), in the order of labels.

    Returns the summary: shares in 0..1, and the counts behind them. progress(i, result, comparison) is called for each clip.
    """
    def compared():
        for i, ((video, audio), label) in enumerate(zip(clips, labels)):
            result = score_clip(video, audio)
            one = compare(result, label)
            if progress is not None:
                progress(i, result, one)
            yield one

    return summarise(compared())


def summarise(comparisons):
    """Of what compare() says clip by clip: shares in 0..1, and the counts behind them."""
    total = {}
    for one in comparisons:
        for k, v in one.items():
            total[k] = total.get(k, 0) + v
    if not total:
        raise ValueError("no clips to evaluate")

    def share(part, whole):
        return total[part] / total[whole] if total[whole] else 1.0

    return {
        "shape_and_colour": share("look_right", "toys"), "shape": share("shape_right", "toys"),
        "colour": share("colour_right", "toys"), "size": share("size_right", "toys"),
        "motion": share("motion_right", "toys"), "count": share("count_right", "clips"),
        "picture_and_sound": share("matched", "events"), "clips_in_time": share("in_time_clips", "clips"),
        "clips_all_right": share("all_right", "clips"), "counts": total,
    }


def format_table(summary):
    """Text for people."""
    n, toys, events = (summary["counts"][k] for k in ("clips", "toys", "events"))
    rows = [("shape and colour right", "shape_and_colour", toys, LOOK_RIGHT), ("  shape", "shape", toys, None),
            ("  colour", "colour", toys, None), ("size right", "size", toys, None),
            ("motion right", "motion", toys, MOTION_RIGHT), ("number of toys right", "count", n, None),
            ("impacts of picture and sound within 2 frames", "picture_and_sound", events, IN_TIME),
            ("  clips with all impacts in time", "clips_in_time", n, None),
            ("clips with everything right", "clips_all_right", n, None)]
    lines = [f"{'':46} {'of':>6} {'share':>8}   goal"]
    for text, key, of, goal in rows:
        aim = f"{goal:6.0%}" if goal else ""
        lines.append(f"{text:46} {of:6d} {summary[key]:8.1%} {aim}".rstrip())
    return "\n".join(lines)
