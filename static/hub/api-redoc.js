// Keeps the page offline: Redoc would fetch a logo from its maker's host, which the page's policy refuses.
"use strict";

(() => {
  const isOurs = (address) => new URL(address, location.href).origin === location.origin;
  const property = Object.getOwnPropertyDescriptor(HTMLImageElement.prototype, "src");
  Object.defineProperty(HTMLImageElement.prototype, "src", {
    ...property,
    set(value) {
      if (String(value).startsWith("data:") || isOurs(value)) {
        property.set.call(this, value);
      }
    },
  });
  const setAttribute = Element.prototype.setAttribute;
  Element.prototype.setAttribute = function (name, value) {
    if (!(this instanceof HTMLImageElement) || name !== "src" || String(value).startsWith("data:") || isOurs(value)) {
      setAttribute.call(this, name, value);
    }
  };
})();
