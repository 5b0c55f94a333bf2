"""The command palette (Ctrl-K): pages first, then objects of the current organization.

A model takes part by setting `palette_fields` on its HubModelAdmin: names of indexed text fields that are
searched by prefix. Apps may add sources of their own with `sources.append(fn)`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from django.core.paginator import Paginator
from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from unfold.dataclasses import SearchResult

from apps.kernel.admin.scoping import ScopedAdmin

if TYPE_CHECKING:
    from apps.kernel.admin.site import HubAdminSite

PER_MODEL = 5
LONGEST = 100

Source = Callable[[HttpRequest, str], Iterable[SearchResult]]
sources: list[Source] = []


def respond(site: HubAdminSite, request: HttpRequest) -> HttpResponse:
    """The list of hits, in Unfold's template; never cached."""
    term = request.GET.get("s", "").strip()[:LONGEST].replace("\x00", "")
    if not term:
        return HttpResponse()
    started = time.perf_counter()
    extended = "extended" in request.GET
    found = list(_pages(site, request, term))
    if extended:
        for source in sources:
            found += source(request, term)
        found += _objects(site, request, term)
    paginator = Paginator(found, 100)
    page = paginator.get_page(request.GET.get("page"))
    return TemplateResponse(
        request,
        "unfold/helpers/command_results.html" if extended else "unfold/helpers/search_results.html",
        {
            "page_obj": paginator,
            "results": page,
            "page_counter": (page.number - 1) * 100,
            "execution_time": time.perf_counter() - started,
            "command_show_history": False,
        },
        headers={"HX-Trigger": "search", "Cache-Control": "no-store"},
    )


def _pages(site: HubAdminSite, request: HttpRequest, term: str) -> Iterable[SearchResult]:
    """The pages of the sidebar whose title or group holds the term."""
    needle = term.lower()
    for group in site.get_sidebar_list(request):
        for item in group["items"]:
            title = str(item.get("search_title") or item["title"])
            if item["has_permission"] and needle in f"{title} {group.get('title') or ''}".lower():
                link = str(item.get("link_callback") or item["link"])
                yield SearchResult(title, str(group.get("title") or "Page"), link, item.get("icon") or "tag")


def _objects(site: HubAdminSite, request: HttpRequest, term: str) -> Iterable[SearchResult]:
    for model, admin in site._registry.items():
        fields: tuple[str, ...] = tuple(getattr(admin, "palette_fields", ()))
        if not fields or not isinstance(admin, ScopedAdmin) or not admin.has_view_permission(request):
            continue
        wanted = Q()
        for name in fields:
            wanted |= Q(**{f"{name}__istartswith": term})
        icon: Any = getattr(admin, "palette_icon", None) or getattr(admin, "empty_icon", "tag")
        for obj in admin.get_queryset(request).filter(wanted)[:PER_MODEL]:
            yield SearchResult(str(obj), str(model._meta.verbose_name), admin.object_url(obj), icon)
