// Starts Swagger UI with the settings that the page carries.
"use strict";

(() => {
  const place = document.getElementById("swagger-ui");
  const settings = JSON.parse(document.getElementById("swagger-settings").textContent);
  const csrf = () => (document.cookie.match(/(?:^|; )hub_csrf=([^;]*)/) || [])[1];

  window.ui = SwaggerUIBundle({
    ...settings,
    url: place.dataset.schema,
    oauth2RedirectUrl: place.dataset.oauthReturn,
    domNode: place,
    presets: [SwaggerUIBundle.presets.apis],
    plugins: [SwaggerUIBundle.plugins.DownloadUrl],
    layout: "BaseLayout",
    requestInterceptor: (request) => {
      // Somebody signed in to the admin may try calls as themselves; a given key goes before.
      const token = csrf();
      if (token && !["GET", "HEAD"].includes((request.method || "GET").toUpperCase())) {
        request.headers["X-CSRFToken"] = decodeURIComponent(token);
      }
      return request;
    },
  });
  // A public client: its id is typed into the dialog, the proof key is made here.
  window.ui.initOAuth({ usePkceWithAuthorizationCodeGrant: true });
})();
