"""One HTTP exchange with another system whose answers are not trusted: bounded, timed, never redirected.

What went wrong says whether the request may have been carried out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from email.utils import parsedate_to_datetime
from typing import Final, NamedTuple

import httpx2

from activities.providers.mail import Ambiguous, NotSent

MOST: Final = 1024 * 1024
"""Bytes that are read of an answer."""
LONGEST_WAIT: Final = timedelta(hours=24)
_SHOWN: Final = 300  # characters of what a provider says
_BUSY: Final = frozenset({408, 425, 429, 503})  # RFC 9110, 6585, 8470: not done, and may pass


class Answer(NamedTuple):
    """What came back. `body` is None where it was longer than `MOST`."""

    status: int
    headers: Mapping[str, str]
    body: bytes | None


class Caller:
    """One provider's connections. `timeout` (seconds) bounds a whole exchange, however slowly it drips.

    Redirects are not followed: they lead where the installation has not chosen to go.
    """

    def __init__(
        self, *, timeout: float = 20.0, auth: httpx2.BasicAuth | None = None, token: str = ""
    ) -> None:
        headers = {"Accept": "application/json", "Accept-Encoding": "identity"}  # nothing that swells
        if token:
            headers["Authorization"] = f"Bearer {token}"
        self._timeout = timeout
        self._client = httpx2.AsyncClient(auth=auth, headers=headers, timeout=timeout, follow_redirects=False)

    async def ask(
        self,
        method: str,
        url: str,
        *,
        form: Mapping[str, str] | None = None,
        json: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """The answer. Raises `NotSent` if nobody can have got the request, `Ambiguous` if no answer came."""
        try:
            async with asyncio.timeout(self._timeout):
                return await self._exchange(method, url, data=form, json=json, params=params, headers=headers)
        except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout) as error:
            raise NotSent(f"the provider cannot be reached: {said(str(error))}", temporary=True) from error
        except (httpx2.InvalidURL, httpx2.UnsupportedProtocol) as error:
            raise NotSent(f"the provider's address is none: {said(str(error))}", temporary=False) from error
        except (httpx2.HTTPError, TimeoutError) as error:
            what = said(str(error)) or type(error).__name__
            raise Ambiguous(f"the provider was given it and gave no answer: {what}") from error

    async def _exchange(self, method: str, url: str, **given: object) -> Answer:
        body = bytearray()
        async with self._client.stream(method, url, **given) as response:  # type: ignore[arg-type]  # as above
            async for part in response.aiter_raw():
                body += part
                if len(body) > MOST:
                    return Answer(response.status_code, response.headers, None)
            return Answer(response.status_code, response.headers, bytes(body))

    async def close(self) -> None:
        """Give back the connections."""
        await self._client.aclose()


def refuse(answer: Answer, why: str) -> None:
    """Raise what an answer that is no success means; `why` is what the provider says.

    Raises `NotSent` for what was definitely not done (3xx, 4xx, and 503: RFC 9110, 15.6.4), `Ambiguous` for
    another 5xx and for what is no answer of this kind.
    """
    shown = f"{answer.status} {said(why)}".strip()
    if answer.status in _BUSY:
        raise NotSent(shown, temporary=True, after=retry_after(answer.headers))
    if 300 <= answer.status < 400:
        raise NotSent(f"{answer.status}: the provider wants to be asked elsewhere", temporary=False)
    if 400 <= answer.status < 500:
        raise NotSent(shown, temporary=False)
    raise Ambiguous(f"the provider was given it, and its answer says nothing: {shown}")


def retry_after(headers: Mapping[str, str]) -> timedelta | None:
    """How long to wait (RFC 9110, 10.2.3), at most a day; a date counts from the answer's own `Date`."""
    written = headers.get("retry-after", "").strip()
    if written.isascii() and written.isdecimal():
        return min(timedelta(seconds=int(written[:9])), LONGEST_WAIT)
    try:
        wait = parsedate_to_datetime(written) - parsedate_to_datetime(headers.get("date", ""))
    except (ValueError, TypeError):
        return None
    return min(max(wait, timedelta(0)), LONGEST_WAIT)


def said(text: str) -> str:
    """What another system said, fit to be kept and shown: a line of bounded length."""
    return " ".join("".join(c if c.isprintable() else " " for c in text[: 4 * _SHOWN]).split())[:_SHOWN]
