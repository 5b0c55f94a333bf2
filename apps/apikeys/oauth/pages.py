"""The pages that people see: may this application in, and which device is yours."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any
from urllib.parse import urlencode, urlsplit

from django.conf import settings
from django.contrib import messages
from django.contrib.auth import logout
from django.core.cache import cache
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods
from oauth2_provider.exceptions import FatalClientError, OAuthToolkitError
from oauthlib.common import add_params_to_uri

from apps.apikeys.models import Application
from apps.apikeys.oauth import devices, redirects, texts
from apps.apikeys.oauth.server import core
from apps.apikeys.scopes import tell
from apps.apikeys.services import consents
from apps.apikeys.services.consents import Offer
from apps.tenants.middleware import actor_of
from apps.tenants.models import User

_ONCE = (
    "client_id", "response_type", "redirect_uri", "scope", "state", "code_challenge", "code_challenge_method",
    "nonce", "prompt", "response_mode", "max_age", "request", "request_uri",
)  # fmt: skip
_GUESSES, _GUESS_SECONDS = 10, 900


@never_cache
@require_http_methods(["GET", "POST"])
def authorize(request: HttpRequest) -> HttpResponse:
    """`/oauth/authorize`: GET asks the person, POST is what they decided. All of the application's parameters
    stay in the address, and are judged anew each time."""
    refused = _unreadable(request)
    if refused:
        return _error(request, refused)
    try:
        scopes, credentials = core().validate_authorization_request(request)
    except FatalClientError as error:
        return _error(request, _plain(error))
    except (OAuthToolkitError, ValueError) as error:
        return _told_back(request, error)
    asked = _Asked(request, credentials, scopes)
    if (mistake := asked.mistake()) is not None:
        return asked.back(*mistake)
    user = request.user
    if not isinstance(user, User) or not user.is_active:
        if "none" in asked.prompt:
            return asked.back("login_required", "Nobody is signed in.")
        return _to_login(request)
    if asked.wants_login(user):
        logout(request)
        return _to_login(request, without=("prompt",))
    if user.must_change_password:
        if "none" in asked.prompt:
            return asked.back("interaction_required", "A password has to be changed first.")
        messages.info(request, "Choose a password of your own first.")
        return HttpResponseRedirect(reverse("admin:password_change"))
    organizations = consents.organizations_for(asked.application, user)
    if not organizations:
        return asked.nowhere(user)
    if request.method == "POST":
        return asked.decided(user, organizations)
    return asked.ask(user, organizations)


class _Asked:
    """An application's question, as far as oauthlib has found it in order."""

    def __init__(self, request: HttpRequest, credentials: dict[str, Any], scopes: Iterable[str]) -> None:
        self.request = request
        self.application: Application = credentials["request"].client
        self.redirect_uri = str(credentials["redirect_uri"])
        self.state = credentials.get("state")
        self.scopes = list(scopes)
        self.prompt = set(request.GET.get("prompt", "").split())

    def mistake(self) -> tuple[str, str] | None:
        """What oauthlib does not look at."""
        get = self.request.GET
        if "request" in get:
            return "request_not_supported", "Request objects are not supported."
        if "request_uri" in get:
            return "request_uri_not_supported", "Request objects are not supported."
        if get.get("response_mode", "query") != "query":
            return "invalid_request", "The only response mode is query."
        if len(get.get("nonce", "")) > 255:
            return "invalid_request", "A nonce has at most 255 characters."
        if not 43 <= len(get.get("code_challenge", "")) <= 128:
            return "invalid_request", "A code challenge of S256 has 43 characters."
        if "none" in self.prompt and len(self.prompt) > 1:
            return "invalid_request", "prompt=none stands alone."
        age = get.get("max_age")
        if age is not None and not (age.isdecimal() and len(age) < 10):
            return "invalid_request", "max_age is a number of seconds."
        return None

    def wants_login(self, user: User) -> bool:
        if self.prompt & {"login", "select_account"}:
            return True
        age = self.request.GET.get("max_age")
        if age is None or "none" in self.prompt or user.last_login is None:
            return False
        return bool(time.time() - user.last_login.timestamp() > int(age) + 1)

    def ask(self, user: User, organizations: list[Any]) -> HttpResponse:
        """The page; or the code at once, if the person has allowed all of this before."""
        offers = {
            item.slug: consents.offer(self.application, user, item, self.scopes) for item in organizations
        }
        known = [offer for offer in offers.values() if self._remembered(user, offer)]
        if len(known) == 1 and "consent" not in self.prompt and self._silent_is_safe():
            return self._allow(user, known[0])
        if "none" in self.prompt:
            return self.back("consent_required", "The person has to be asked.")
        chosen = _chosen(self.request.GET.get("organization"), organizations, self.request)
        return self._page(user, organizations, offers[chosen.slug])

    def decided(self, user: User, organizations: list[Any]) -> HttpResponse:
        if self.request.POST.get("decision") != "allow":
            return self.back("access_denied", "The person declined.")
        slug = self.request.POST.get("organization")
        organization = next((item for item in organizations if item.slug == slug), None)
        if organization is None:
            return _error(self.request, "You are not a member of that organization.", status=404)
        offer = consents.offer(self.application, user, organization, self.scopes)
        if not offer.given:
            return self._page(user, organizations, offer)
        consents.give(
            application=self.application,
            user=user,
            organization=organization,
            scopes=offer.given,
            actor=actor_of(self.request, user),
        )
        return self._allow(user, offer)

    def nowhere(self, user: User) -> HttpResponse:
        if "none" in self.prompt or self.request.method == "POST":
            return self.back("access_denied", "The person is in no organization that the application is for.")
        context = {"application": self.application, "person": user, "cancel": self._address("access_denied")}
        return _page(self.request, "nowhere", context, self.redirect_uri, status=403)

    def back(self, error: str, description: str) -> HttpResponse:
        return _leave(self.request, self._address(error, description))

    def _address(self, error: str, description: str = "The person declined.") -> str:
        params = [("error", error), ("error_description", description)]
        return _with(self.redirect_uri, params, self.state)

    def _remembered(self, user: User, offer: Offer) -> bool:
        return bool(offer.given) and consents.remembered(
            self.application, user, offer.organization, offer.given
        )

    def _silent_is_safe(self) -> bool:
        """Who cannot prove who they are, and listens on the person's machine, is never let in unseen
        (RFC 8252 §8.6)."""
        return not self.application.is_public or redirects.leaves_machine(self.redirect_uri)

    def _allow(self, user: User, offer: Offer) -> HttpResponse:
        credentials = {
            "organization": offer.organization,
            "redirect_uri": self.redirect_uri,
            "state": self.state,
        }
        try:
            uri, _, _, _ = core().create_authorization_response(
                self.request, scopes=offer.given, credentials=credentials, allow=True
            )
        except FatalClientError as error:
            return _error(self.request, _plain(error))
        except OAuthToolkitError as error:
            return _told_back(self.request, error)
        return _leave(self.request, str(uri))

    def _page(self, user: User, organizations: list[Any], offer: Offer) -> HttpResponse:
        back = urlsplit(self.redirect_uri)
        context = {
            **_consent_context(self.application, user, organizations, offer),
            "goes_to": back.hostname or f"the application ({back.scheme})",
            "goes_to_here": back.hostname in ("127.0.0.1", "::1", "localhost"),
            "parameters": [
                (name, value) for name, value in self.request.GET.items() if name not in ("organization",)
            ],
        }
        return _page(self.request, "consent", context, self.redirect_uri)


@never_cache
@require_http_methods(["GET", "POST"])
def device(request: HttpRequest) -> HttpResponse:
    """`/oauth/device`: type the code that a device shows, see what it wants, decide."""
    user = request.user
    if not isinstance(user, User) or not user.is_active:
        return _to_login(request)
    if user.must_change_password:
        messages.info(request, "Choose a password of your own first.")
        return HttpResponseRedirect(reverse("admin:password_change"))
    if request.method == "GET":
        code = texts.normal_user_code(request.GET.get("user_code", ""))
        return _page(request, "device", {"code": code if len(code) == 9 else "", "person": user})
    typed = request.POST.get("user_code", "")[:40]
    if _guessed_too_often(user):
        mistake = "Too many wrong codes. Wait a quarter of an hour."
        return _page(request, "device", {"mistake": mistake, "person": user}, status=429)
    grant = devices.waiting(typed)
    application = _application_of(grant.client_id) if grant is not None else None
    if grant is None or application is None:
        _note_guess(user)
        mistake = "No device waits for this code. Look again at what it shows; codes live 15 minutes."
        return _page(request, "device", {"code": typed, "mistake": mistake, "person": user}, status=400)
    organizations = consents.organizations_for(application, user)
    if not organizations:
        return _page(request, "nowhere", {"application": application, "person": user}, status=403)
    decision = request.POST.get("decision")
    chosen = _chosen(request.POST.get("organization"), organizations, request)
    if decision is None:
        offer = consents.offer(application, user, chosen, grant.scope.split())
        context = {
            **_consent_context(application, user, organizations, offer),
            "device_code": texts.normal_user_code(typed),
        }
        return _page(request, "consent", context)
    slug = request.POST.get("organization")
    organization = next((item for item in organizations if item.slug == slug), None)
    if decision == "allow" and organization is None:
        return _error(request, "You are not a member of that organization.", status=404)
    offer = consents.offer(application, user, organization or chosen, grant.scope.split())
    allowed = decision == "allow" and bool(offer.given)
    if not devices.decide(grant, user=user, organization=organization, scopes=offer.given, allowed=allowed):
        return _error(request, "The device no longer waits for an answer. Start again on the device.")
    if allowed:
        assert organization is not None
        consents.give(
            application=application,
            user=user,
            organization=organization,
            scopes=offer.given,
            actor=actor_of(request, user),
        )
    context = {"application": application, "allowed": allowed, "organization": organization, "person": user}
    return _page(request, "done", context)


def _consent_context(
    application: Application, user: User, organizations: list[Any], offer: Offer
) -> dict[str, Any]:
    return {
        "application": application,
        "person": user,
        "owner": application.organization,
        "is_foreign": application.organization_id != offer.organization.pk,
        "organizations": organizations,
        "organization": offer.organization,
        "given": [tell(scope) for scope in offer.given if scope != "openid" or len(offer.given) == 1],
        "lacking": [tell(scope) for scope in offer.lacking],
        "nothing": not offer.given,
    }


def _chosen(slug: str | None, organizations: list[Any], request: HttpRequest) -> Any:
    """The organization that was named, else the one of the session, else the first."""
    current = getattr(getattr(request, "organization", None), "slug", None)
    for wanted in (slug, current):
        for item in organizations:
            if item.slug == wanted:
                return item
    return organizations[0]


def _application_of(client_id: str) -> Application | None:
    found = Application.objects.select_related("organization").filter(client_id=client_id).first()
    return found if found is not None and found.is_usable() else None


def _guess_key(user: User) -> str:
    return f"oauth:device-guesses:{user.pk}"


def _guessed_too_often(user: User) -> bool:
    return int(cache.get(_guess_key(user)) or 0) >= _GUESSES


def _note_guess(user: User) -> None:
    if not cache.add(_guess_key(user), 1, _GUESS_SECONDS):
        try:
            cache.incr(_guess_key(user))
        except ValueError:  # it ran out between the two
            cache.set(_guess_key(user), 1, _GUESS_SECONDS)


# --- answers


def _unreadable(request: HttpRequest) -> str | None:
    """Why the address cannot be understood."""
    for name, values in request.GET.lists():
        if any("\x00" in text or "\ufffd" in text for text in (name, *values)):
            return "The address holds characters that are not text."
        if name in _ONCE and len(values) > 1:
            return f"The address names “{name}” more than once."
    return None


def _told_back(request: HttpRequest, error: Exception) -> HttpResponse:
    """An error as the application learns it; on a page, where it is not certain who the application is."""
    inner: Any = getattr(error, "oauthlib_error", None)
    uri = getattr(inner, "redirect_uri", None)
    if inner is None or not uri:
        return _error(request, "The address that the application made cannot be understood.")
    return _leave(request, _with(uri, inner.twotuples, None))


def _with(uri: str, params: Iterable[tuple[str, str]], state: str | None) -> str:
    """A redirect address with an answer's parameters, and with who gives it (RFC 9207)."""
    added = [*params, *([("state", state)] if state else []), ("iss", settings.HUB_BASE_URL)]
    return str(add_params_to_uri(uri, added))


def _plain(error: Any) -> str:
    """What is wrong with the question, for the person who stands before it."""
    name = type(error.oauthlib_error).__name__
    return {
        "InvalidClientIdError": "No application here has that client id, or it is not active.",
        "MissingClientIdError": "The address does not say which application asks.",
        "MismatchingRedirectURIError": "The application never registered the address to go back to.",
        "InvalidRedirectURIError": "The application never registered the address to go back to.",
        "MissingRedirectURIError": "The address does not say where to go back to.",
    }.get(name, "The address that the application made cannot be understood.")


def _error(request: HttpRequest, sentence: str, status: int = 400) -> HttpResponse:
    return _page(request, "error", {"sentence": sentence}, status=status)


def _leave(request: HttpRequest, uri: str) -> HttpResponse:
    """Send the browser on. 303: a form's POST is not repeated there."""
    response = HttpResponse(status=303 if request.method == "POST" else 302)
    response.headers["Location"] = uri
    response.headers["Cache-Control"] = "no-store"
    response.headers["Referrer-Policy"] = "no-referrer"
    return response


def _to_login(request: HttpRequest, without: tuple[str, ...] = ()) -> HttpResponse:
    params = QueryDict(request.META.get("QUERY_STRING", ""), mutable=True)
    for name in without:
        params.pop(name, None)
    address = f"{request.path}?{params.urlencode()}" if params else request.path
    return HttpResponseRedirect(f"{settings.LOGIN_URL}?{urlencode({'next': address})}")


def _page(
    request: HttpRequest, name: str, context: dict[str, Any], redirect_uri: str = "", status: int = 200
) -> HttpResponse:
    response = render(request, f"hub/oauth/{name}.html", context, status=status)
    # Browsers hold form-action against where an answered form leads, so it names that place and no other.
    parts = urlsplit(redirect_uri)
    place = ""
    if parts.scheme in ("http", "https"):
        place = f" {parts.scheme}://{parts.netloc}"
    elif parts.scheme:
        place = f" {parts.scheme}:"
    response.headers["Content-Security-Policy"] = (
        "default-src 'none'; style-src 'self'; font-src 'self'; img-src 'self'; script-src 'self'; "
        f"base-uri 'none'; frame-ancestors 'none'; form-action 'self'{place}"
    )
    response.headers["Cache-Control"] = "no-store"
    return response
