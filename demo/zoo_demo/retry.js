// Otherwise a text file named .png would be shown as a broken picture.
document.addEventListener(
  "error",
  (event) => {
    if (event.target.closest?.("#picture img, #compare-picture img")) event.target.style.visibility = "hidden";
  },
  true,
);
// A busy demo says when to retry. The page retries by itself.
(() => {
  const send = window.fetch;
  const join = /\/gradio_api\/queue\/join(\?|$)/;
  const upload = /\/gradio_api\/upload(\?|$)/;
  const last = new Map(); // what the last call of each kind was given

  // Calls of one kind have the same parts of the page as inputs and outputs.
  function kindOf(call) {
    const made = window.gradio_config?.dependencies?.find(({ id }) => id === call.fn_index);
    return made ? JSON.stringify([made.inputs, made.outputs]) : call.fn_index;
  }

  window.fetch = async (resource, options) => {
    const address = String(resource?.url ?? resource);
    const call = join.test(address) && typeof options?.body === "string" ? JSON.parse(options.body) : null;
    const kind = call && kindOf(call);
    if (call) last.set(kind, call.data);
    for (let attempt = 0; ; attempt++) {
      const response = await send(resource, options);
      if (response.status !== 503 || attempt === 20 || !(join.test(address) || upload.test(address))) return response;
      const seconds = Number(response.headers.get("retry-after")) || 3;
      await new Promise((resolve) => setTimeout(resolve, 1000 * seconds * (0.5 + Math.random())));
      // Meanwhile another picture or model may have got its answer, which the one to the old question must not replace.
      if (call) options = { ...options, body: JSON.stringify({ ...call, data: last.get(kind) }) };
    }
  };
})();
