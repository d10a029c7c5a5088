"""Publishes numbers on paho-mqtt at QoS 1, one after the other, and prints each that was acknowledged.

usage: publisher.py PORT TOPIC COUNT

A number that was not acknowledged, because the broker went away, is published again on the next connection.
"""
import sys
import threading
import time

import paho.mqtt.client as mqtt

port, topic, total = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
next_number = 1


def session(first):
    """Publishes from first on until the connection breaks; returns the next number that is due."""
    number = first
    wake = threading.Condition()
    state = {"up": False, "acked": None, "down": False}

    def notify(**change):
        with wake:
            state.update(change)
            wake.notify()

    client = mqtt.Client(client_id="publisher", clean_session=True)
    client.on_connect = lambda c, u, f, rc: notify(up=rc == 0)
    client.on_disconnect = lambda c, u, rc: notify(down=True)
    client.on_publish = lambda c, u, mid: notify(acked=mid)
    try:
        client.connect("127.0.0.1", port, keepalive=10)
    except OSError:
        return number
    client.loop_start()
    with wake:
        while not state["up"] and not state["down"]:
            if not wake.wait(10):
                break
        while number <= total and state["up"] and not state["down"]:
            wake.release()
            info = client.publish(topic, str(number), qos=1)
            wake.acquire()
            while state["acked"] != info.mid and not state["down"]:
                if not wake.wait(30):
                    print("no acknowledgement in 30 s", flush=True)
                    break
            if state["acked"] != info.mid:
                break
            print("acked", number, flush=True)
            number += 1
    client.loop_stop()
    client.disconnect()
    return number


while next_number <= total:
    before = next_number
    next_number = session(before)
    if next_number == before:
        time.sleep(0.2)
print("done", flush=True)
