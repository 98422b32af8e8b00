"""Asking a gnomon server: over HTTP, with httpx and nothing heavy.

    from gnomon.client import Client

    with Client("http://127.0.0.1:6566", api_key="gn_…") as client:
        answer = client.get_online_features(["profile:age"], [{"user_id": 7}])
        answer.to_dict()                    # {'user_id': [7], 'age': [41]}

A question is a value (`calls`), tried again by rules that know neither network nor clock (`attempts`); `Client` and
`AsyncClient` only send and wait.
"""

from __future__ import annotations

from gnomon.client.answers import HistoricalFeatures, OnlineFeatures, Pushed
from gnomon.client.asynchronous import AsyncClient, AsyncJob
from gnomon.client.attempts import Retries
from gnomon.client.blocking import Client, Job

__all__ = ["AsyncClient", "AsyncJob", "Client", "HistoricalFeatures", "Job", "OnlineFeatures", "Pushed", "Retries"]
