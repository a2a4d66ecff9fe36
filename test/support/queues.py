"""Small ways to drive a work queue in tests."""

import threading


def take_all(queue):
    """Hand out and give back until the queue is empty."""
    taken = []
    while (key := queue.get(0)) is not None:
        taken.append(key)
        queue.done(key)
    return taken


def in_thread(work):
    """Run `work` in a thread; the box gets its result."""
    box = []
    thread = threading.Thread(target=lambda: box.append(work()), daemon=True)
    thread.start()
    return thread, box
