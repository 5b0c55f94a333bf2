/* How much is left of each limit, kept true while the page is looked at. */
(function () {
  "use strict";

  document.addEventListener("DOMContentLoaded", function () {
    document.querySelectorAll("[data-live-url]").forEach(function (part) {
      let wait = 2000;
      async function look() {
        if (!part.isConnected) return;
        // Neither unseen nor under somebody's fingers.
        if (document.hidden || part.contains(document.activeElement)) return setTimeout(look, 2000);
        try {
          const answer = await fetch(part.dataset.liveUrl, { credentials: "same-origin" });
          if (answer.redirected || answer.status === 403 || answer.status === 404) return;
          if (!answer.ok) throw new Error(String(answer.status));
          part.innerHTML = await answer.text();
          wait = 2000;
        } catch (error) {
          wait = Math.min(wait * 2, 30000);
        }
        setTimeout(look, wait);
      }
      setTimeout(look, wait);
    });
  });
})();
