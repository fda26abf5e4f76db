// Follows running searches: fetches the page anew every second, and swaps its content in without losing the place.
"use strict";

const wait = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

async function follow(main) {
  while ("follow" in main.dataset) {
    await wait(1000);
    try {
      const page = await fetch(location.href, { cache: "no-store" });
      if (!page.ok || page.redirected) continue;
      const fresh = new DOMParser().parseFromString(await page.text(), "text/html").getElementById("content");
      const open = [...main.querySelectorAll("details")].map((each) => each.open);
      const focused = document.activeElement?.closest("form")?.action;
      fresh.querySelectorAll("details").forEach((each, index) => { if (index in open) each.open = open[index]; });
      main.replaceWith(fresh);
      main = fresh;
      if (focused) [...main.querySelectorAll("form")].find((each) => each.action === focused)?.querySelector("button")?.focus();
    } catch {
      // The server is restarting or the network is away: the next second may be better.
    }
  }
}

const followed = document.querySelector("[data-follow]");
if (followed) follow(followed);
