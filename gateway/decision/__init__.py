"""The decision point of the data plane: one question, one verdict, from memory.

``decision_point`` answers; ``device_cache`` holds the records (bounded); ``live_sessions`` knows who is connected and
is re-judged when something changes; ``policy_feed`` hears of changes; ``sightings`` remembers who asked.
"""
