// Moments are sent in UTC; people read them by their own clock.
"use strict";

for (const each of document.querySelectorAll("time")) {
  const clock = "clock" in each.dataset ? { timeStyle: "short" } : {};
  each.textContent = new Date(each.dateTime).toLocaleString(document.documentElement.lang, { dateStyle: "medium", ...clock });
}
