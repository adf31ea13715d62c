// A browser starts no worker on a page that was opened from the disk, and the search is one. There a hidden frame takes
// its place: it has the page's origin, so messages go to and fro as events of the two windows.
if (location.protocol === "file:") {
  // The script of the search looks for this name in its parent, and then finds its languages by its own address.
  window.IFrameWorker = class extends EventTarget {
    constructor(url) {
      super();
      this.waiting = []; // until the frame has loaded
      this.frame = document.createElement("iframe");
      this.frame.hidden = true;
      this.frame.srcdoc =
        "<script>(" + IFrameWorker.inside + `)()<\/script><script src="${new URL(url, document.baseURI)}"><\/script>`;
      this.frame.onload = () => {
        this.frame.contentWindow.tell = (data) => this.dispatchEvent(new MessageEvent("message", { data }));
        const waiting = this.waiting;
        this.waiting = null;
        waiting.forEach((data) => this.postMessage(data));
      };
      document.body.append(this.frame);
    }

    postMessage(data) {
      if (this.waiting) this.waiting.push(data);
      else this.frame.contentWindow.dispatchEvent(new MessageEvent("message", { data }));
    }

    terminate() {
      this.frame.remove();
    }

    // What a worker finds around it.
    static inside() {
      window.postMessage = (data) => window.tell(data);
      window.importScripts = (...urls) =>
        Promise.all(
          urls.map(
            (url) =>
              new Promise((resolve, reject) => {
                const script = document.createElement("script");
                script.src = url;
                script.async = false; // in their order
                script.onload = resolve;
                script.onerror = reject;
                document.head.append(script);
              }),
          ),
        );
    }
  };
  // Written as a method it would not be a function by itself.
  IFrameWorker.inside = "function " + IFrameWorker.inside;
  window.Worker = IFrameWorker;
}
