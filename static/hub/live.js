/* A part of the page that is loaded anew every few seconds: `data-live` says from where, `data-live-every` how
   often. It rests while nobody looks, while a person pauses it, and while something in it is held with the mouse
   or the keyboard; a connection that is lost is tried again, less and less often. */
(function () {
  "use strict";

  document.addEventListener("DOMContentLoaded", function () {
    const part = document.querySelector("[data-live]");
    if (!part) return;
    const every = Number(part.dataset.liveEvery) || 2000;
    const state = document.querySelector("[data-live-state]");
    const button = document.querySelector("[data-live-pause]");
    let paused = false;
    let wait = every;
    let timer = null;

    button.hidden = false;
    button.addEventListener("click", function () {
      paused = !paused;
      button.setAttribute("aria-pressed", String(paused));
      button.querySelector(".material-symbols-outlined").textContent = paused ? "play_arrow" : "pause";
      const words = button.querySelector(".hub-wide-only");
      if (words) words.textContent = paused ? "Go on" : "Pause";
      say(paused ? "Paused" : "Live");
      if (!paused) look();
    });
    document.addEventListener("visibilitychange", function () { if (!document.hidden && !paused) look(); });
    say("Live");
    later();

    function say(text) { state.textContent = text; }
    function later() {
      clearTimeout(timer);
      timer = setTimeout(look, wait);
    }
    function isHeld() {
      const selected = window.getSelection();
      return part.contains(document.activeElement) ||
        (selected && !selected.isCollapsed && part.contains(selected.anchorNode));
    }

    async function look() {
      clearTimeout(timer);
      if (paused) return;
      if (document.hidden || isHeld()) return later();
      try {
        const answer = await fetch(part.dataset.live, { credentials: "same-origin", cache: "no-store" });
        if (answer.redirected || answer.status === 401 || answer.status === 403 || answer.status === 404) {
          return say("You are signed out: load the page again.");
        }
        if (!answer.ok) throw new Error(String(answer.status));
        const text = await answer.text();
        if (paused) return;
        show(text);
        wait = every;
        say("Live");
      } catch (error) {
        wait = Math.min(wait * 2, 30000);
        say("The connection is lost; trying again.");
      }
      later();
    }
    function show(text) {
      const fresh = new DOMParser().parseFromString(text, "text/html").body;
      const scrolled = Array.from(part.querySelectorAll(".hub-table-wrap")).map(function (one) { return one.scrollLeft; });
      part.replaceChildren.apply(part, Array.from(fresh.childNodes));
      part.querySelectorAll(".hub-table-wrap").forEach(function (one, n) { one.scrollLeft = scrolled[n] || 0; });
    }
  });
})();
