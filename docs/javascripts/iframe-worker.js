// Browsers start no worker for a page that was opened from disk. There, a hidden frame runs the
// script of the search instead, so that the search needs neither a server nor the network.
"use strict";
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(address) {
      super();
      this.frame = document.createElement("iframe");
      this.frame.hidden = true;
      this.frame.srcdoc =
        '<script>postMessage = (data) => parent.postMessage(data, "*")</script>' +
        `<script src="${new URL(address, location)}"></script>`;
      this.ready = new Promise((resolve) => (this.frame.onload = resolve));
      this.pass = (event) => {
        if (event.source !== this.frame.contentWindow) return;
        this.onmessage?.(event);
        this.dispatchEvent(new MessageEvent("message", { data: event.data }));
      };
      addEventListener("message", this.pass);
      document.body.append(this.frame);
    }

    async postMessage(data) {
      await this.ready;
      const copy = structuredClone(data);
      this.frame.contentWindow?.dispatchEvent(new MessageEvent("message", { data: copy }));
    }

    terminate() {
      removeEventListener("message", this.pass);
      this.frame.remove();
    }
  };
}
