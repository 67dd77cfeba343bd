"""A mail of either app: which TOM says it, what happened, and the one next action with a link; as text and as HTML."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from django.apps import apps
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured, ObjectDoesNotExist
from django.core.mail import EmailMultiAlternatives
from django.db import DatabaseError
from django.urls import NoReverseMatch, reverse
from django.utils.html import conditional_escape, format_html, format_html_join, linebreaks
from django.utils.safestring import SafeString, mark_safe

from tom_followup.refusals import LOGIN

ADDRESS = 'TOM_ADDRESS'
PLACEHOLDERS = ('', 'example.com')
"""What django.contrib.sites has before anybody has said where this site is."""
HERE = ('localhost', '127.0.0.1', '::1')
NO_LINK = f'(No link: this TOM does not know its own address. Whoever runs it can say it with the setting {ADDRESS}.)'
PAGE = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="color-scheme" content="light dark"><title>{subject}</title></head>
<body style="font-family: sans-serif; font-size: 16px; line-height: 1.5; max-width: 42em; margin: 0 auto; padding: 1em">
<p style="margin: 0; opacity: .75">{name}</p>
<h1 style="font-size: 20px; margin: 0 0 .8em">{subject}</h1>
{what}
{link}
{more}
<p style="margin-top: 2em; font-size: 14px; opacity: .75">{footer}</p>
</body>
</html>
"""
BUTTON = (
    '<p><a href="{}" style="display: inline-block; padding: .5em 1em; border-radius: 6px; background: #0b5ed7; color: #fff; '
    'text-decoration: none">{}</a></p>\n<p style="font-size: 14px"><a href="{}">{}</a></p>'
)


@dataclass(frozen=True, kw_only=True)
class Message:
    """What one user is told: the first paragraph of ``text`` says what happened; ``path`` is where in this TOM to act on it."""

    subject: str
    text: str
    action: str = ''
    path: str = ''


def site_name() -> str:
    """What this TOM calls itself on its pages, in one line."""
    name = getattr(settings, 'TOM_NAME', '') or getattr(_site(), 'name', '')
    return ' '.join(str(name).split()) or 'TOM Toolkit'


def site_address() -> str:
    """Where this TOM is, as ``https://tom.example.org`` without a slash at the end; empty where nobody has said so.

    The setting comes before django.contrib.sites, whose domains have no scheme: it is https but for this computer's own names.
    """
    given = str(getattr(settings, ADDRESS, '') or '').strip()
    domain = '' if given else str(getattr(_site(), 'domain', '')).strip()
    try:
        if domain not in PLACEHOLDERS:
            given = f'{"http" if urlsplit(f"//{domain}").hostname in HERE else "https"}://{domain}'
        parts = urlsplit(given)
    except ValueError:
        return ''
    whole = parts.scheme in ('http', 'https') and parts.hostname and not (parts.query or parts.fragment or parts.username)
    return given.rstrip('/') if whole and not any(each.isspace() for each in given) else ''


def _site() -> Any:
    """The current site of django.contrib.sites; None where that is not installed, or has no row for SITE_ID."""
    if not apps.is_installed('django.contrib.sites'):
        return None
    try:
        return apps.get_model('sites', 'Site')._default_manager.get_current()
    except (ObjectDoesNotExist, ImproperlyConfigured, DatabaseError):
        return None


def path_of(name: str, *args: object, query: str = '') -> str:
    """The address of a page within this TOM; empty where the site's URLs do not have it."""
    try:
        return reverse(name, args=args) + (f'?{query}' if query else '')
    except NoReverseMatch:
        return ''


def link_to(path: str) -> str:
    """The whole address of a page of this TOM; empty where the TOM's own is not known, or there is no page.

    Who is not logged in any more gets the login there, and then the page.
    """
    address = site_address()
    if not (address and path):
        return ''
    below = f'{urlsplit(address).path}/'  # a TOM below a path of its server, whether its URLs are made with that or without
    return f'{address}/{path.removeprefix(below).removeprefix("/")}{"&" if "?" in path else "?"}{LOGIN}=1'


def mail_to(recipient: str, message: Message, connection: Any = None, headers: Mapping[str, str] | None = None) -> Any:
    """A mail that can be sent: plain text, and the same as HTML."""
    name, subject = site_name(), ' '.join(message.subject.split())
    what, _, more = message.text.strip().partition('\n\n')
    profile = link_to(path_of('user-profile'))
    footer = f'Sent by {name}. What you are told, and how, is set on your profile{": " + profile if profile else "."}'
    mail = EmailMultiAlternatives(
        f'[{name}] {subject}',
        '\n\n'.join(part for part in (f'{subject.rstrip(".")}.', what, *_where(message), more, f'-- \n{footer}') if part),
        settings.DEFAULT_FROM_EMAIL,
        [recipient],
        connection=connection,
        headers=dict(headers or {}),
    )
    parts: dict[str, Any] = {
        'subject': subject,
        'name': name,
        'what': _html(what),
        'link': _button(message),
        'more': _html(more),
        'footer': footer,
    }
    mail.attach_alternative(format_html(PAGE, **parts), 'text/html')
    return mail


def _where(message: Message) -> Iterator[str]:
    """The next action and where to take it: a link, or else the page's address within the TOM and why there is no link."""
    if not message.path:
        return
    link = link_to(message.path)
    yield f'{message.action or "See it in the TOM"}:\n{link or message.path}'
    if not link:
        yield NO_LINK


def _button(message: Message) -> SafeString:
    link = link_to(message.path)
    if link:
        return format_html(BUTTON, link, message.action or 'See it in the TOM', link, link)
    return format_html_join('\n', '<p>{}</p>', ((line,) for line in _where(message)))


def _html(text: str) -> SafeString:
    """Paragraphs and lines as they are in the text; nothing in it is markup."""
    return mark_safe(linebreaks(conditional_escape(text)))  # noqa: S308 (escaped)
