// Otherwise a text file named .png would be shown as a broken picture.
document.addEventListener(
  "error",
  (event) => {
    if (event.target.closest?.("#picture img")) event.target.style.visibility = "hidden";
  },
  true,
);
// A busy demo says when to retry. The page retries by itself.
(() => {
  const send = window.fetch;
  const paths = /\/gradio_api\/(queue\/join|upload)(\?|$)/;
  window.fetch = async (resource, options) => {
    const address = String(resource?.url ?? resource);
    for (let attempt = 0; ; attempt++) {
      const response = await send(resource, options);
      if (response.status !== 503 || attempt === 20 || !paths.test(address)) return response;
      const seconds = Number(response.headers.get("retry-after")) || 3;
      await new Promise((resolve) => setTimeout(resolve, 1000 * seconds * (0.5 + Math.random())));
    }
  };
})();
