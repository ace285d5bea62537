// All texts of the page, English and simplified Chinese.

const TEXTS = {
  title: ["Image classifier", "图像分类模型"],
  model: ["Model", "模型"],
  loading: ["Loading the model", "正在加载模型"],
  starting: ["Starting the model", "正在启动模型"],
  private: [
    "Your pictures stay on this machine: the model runs in this browser, and nothing is sent.",
    "图片不会离开您的设备：模型在本浏览器中运行，不发送任何数据。",
  ],
  "backend.wasm": ["It runs on WebAssembly with SIMD, {threads} thread{s}.", "运行方式：WebAssembly（SIMD），{threads} 个线程。"],
  "backend.webgpu": ["It runs on the GPU, with WebGPU.", "运行方式：GPU（WebGPU）。"],
  gpu: ["Use the GPU (WebGPU)", "使用 GPU（WebGPU）"],

  "input.title": ["Picture", "图片"],
  "input.choose": ["Choose a picture", "选择图片"],
  "input.hint": ["or drop one here, or paste one", "也可以拖放或粘贴图片"],
  "input.alt": ["The chosen picture", "所选图片"],
  "input.one": ["One picture at a time: the first of {n} was taken.", "每次只处理一张图片：已使用 {n} 张中的第一张。"],
  "camera.start": ["Use the camera", "使用摄像头"],
  "camera.stop": ["Stop the camera", "停止摄像头"],
  "camera.rate": ["{rate} pictures a second", "每秒 {rate} 张图片"],
  "camera.name": ["The camera's picture", "摄像头画面"],
  "pad.title": ["Drawing pad", "画板"],
  "pad.name": [
    "Drawing pad. Arrow keys move the pen, the space bar puts it down or lifts it.",
    "画板。方向键移动画笔，空格键落笔或抬笔。",
  ],
  "pad.hint": ["Draw here", "在此书写"],
  "pad.undo": ["Undo", "撤销"],
  "pad.clear": ["Clear", "清除"],
  "examples.title": ["Examples", "示例"],
  "examples.alt": ["Example picture {n}: {label}", "示例图片 {n}：{label}"],

  "answer.title": ["Answer", "答案"],
  "answer.hint": ["The answer appears here.", "答案会显示在这里。"],
  "answer.time": ["{ms} ms, from {width} by {height} pixels.", "用时 {ms} 毫秒，原图 {width} × {height}。"],
  "answer.seen": ["What the model sees: {side} by {side} pixels", "模型看到的图像：{side} × {side} 像素"],
  "heat.look": ["Show where it looks", "显示模型关注的区域"],
  "heat.stop": ["Stop", "停止"],
  "heat.progress": ["Working: {share}", "处理中：{share}"],
  "heat.alt": ["Heat map of the class {label}", "类别 {label} 的热力图"],
  "heat.title": ["What speaks for {label}, from little (dark) to most (bright)", "支持 {label} 的区域，由弱（暗）到强（亮）"],

  "verify.title": ["Does it answer as it should?", "答案是否一致？"],
  "verify.start": ["Check this browser", "检查本浏览器"],
  "verify.passed": [
    "Yes: on {n} reference pictures the logits differ by at most {difference} of their spread (allowed: {allowed}).",
    "一致：在 {n} 张参考图片上，logits 的差异最多为其范围的 {difference}（允许：{allowed}）。",
  ],
  "verify.failed": [
    "No: on {n} reference pictures the logits differ by {difference} of their spread (allowed: {allowed}).",
    "不一致：在 {n} 张参考图片上，logits 的差异为其范围的 {difference}（允许：{allowed}）。",
  ],
  "verify.none": ["The card of this model has no reference answers that this page can check.", "该模型的卡片没有本页可以检查的参考答案。"],

  "card.title": ["About this model", "关于该模型"],
  "card.about": ["An image classifier for {n} classes: {names}.", "图像分类模型，共 {n} 个类别：{names}。"],
  "card.about-more": ["An image classifier for {n} classes: {names} and {more} more.", "图像分类模型，共 {n} 个类别：{names}，另有 {more} 个。"],
  "card.accuracy": ["Accuracy", "准确率"],
  "card.accuracy-before": ["Accuracy before the conversion", "转换前的准确率"],
  "card.accuracy-after": ["Accuracy after the conversion", "转换后的准确率"],
  "card.compared": [
    "{share} of {n} pictures that were compared ({before} of them before)",
    "比较所用的 {n} 张图片中 {share} 正确（转换前 {before}）",
  ],
  "card.measured": ["{share} of {n} pictures of the {split} split", "{split} 部分的 {n} 张图片中 {share} 正确"],
  "card.unmeasured": ["not measured", "未测量"],
  "card.parity": ["Parity", "一致性"],
  "card.agreement": [
    "the file's logits differ from the trained network's by at most {most} of their spread",
    "文件与训练得到的网络的 logits 差异最多为其范围的 {most}",
  ],
  "card.backbone": ["Backbone", "骨干网络"],
  "card.weights": ["Pretrained weights", "预训练权重"],
  "card.data": ["Trained on", "训练数据"],
  "card.licences": ["Licences", "许可"],
  "card.precision": ["Precision", "精度"],
  "card.created": ["Created", "创建时间"],
  "card.notes": ["Notes", "说明"],

  "wrong.model": ["The model cannot be loaded ({reason}). Check that the folder is complete.", "无法加载模型（{reason}）。请检查文件夹是否完整。"],
  "wrong.offline": ["You are offline, and this model was not loaded before.", "您处于离线状态，且此模型之前未加载过。"],
  "wrong.version": ["This page has a newer version. Load it again.", "本页已有新版本，请重新加载。"],
  "wrong.gpu": ["The model does not run on this GPU ({reason}). It runs on the processor again.", "该模型无法在此 GPU 上运行（{reason}），已改回处理器。"],
  "wrong.run": ["The model failed on this picture. Try a smaller one.", "模型处理该图片时出错。请尝试较小的图片。"],
  "wrong.classes": ["The card of this model has another number of classes than the file answers with.", "该模型的卡片所列类别数与文件的输出数不同。"],
  "wrong.check": ["The check failed ({reason}). Load the page again.", "检查失败（{reason}）。请重新加载本页。"],
  "wrong.picture": ["This file is not a picture that this browser can read. Choose a PNG, JPEG or WebP file.", "本浏览器无法读取该文件。请选择 PNG、JPEG 或 WebP 图片。"],
  "wrong.damaged": ["This picture is damaged or not complete. Get it again, or choose another one.", "该图片已损坏或不完整。请重新获取，或选择其他图片。"],
  "wrong.file-size": ["This file is larger than {most} MiB. Choose a smaller one.", "文件大于 {most} MiB。请选择较小的文件。"],
  "wrong.size": [
    "The picture has {width} by {height} pixels, and the limit is {most} million pixels and {side} on a side. Choose a smaller one.",
    "图片为 {width} × {height} 像素，上限为 {most} 百万像素、边长 {side}。请选择较小的图片。",
  ],
  "wrong.memory": ["There is too little memory for {width} by {height} pixels. Choose a smaller picture.", "内存不足以处理 {width} × {height} 像素。请选择较小的图片。"],
  "wrong.camera": ["No camera was found. Connect one, or choose a picture.", "未找到摄像头。请连接摄像头或选择图片。"],
  "wrong.camera-denied": ["The camera was not allowed. Allow it in the browser's settings, or choose a picture.", "摄像头未获授权。请在浏览器设置中允许，或选择图片。"],
  "wrong.camera-here": ["This page may not use a camera. Open it over https, or choose a picture.", "本页不能使用摄像头。请通过 https 打开，或选择图片。"],
  "wrong.browser": ["This browser lacks {what}. Use a newer one.", "本浏览器缺少 {what}。请使用较新的浏览器。"],

  "card.too-large": ["The card of this model is too large.", "该模型的卡片过大。"],
  "card.json": ["The card of this model is not valid JSON.", "该模型的卡片不是有效的 JSON。"],
  "card.invalid": ["The card of this model has a part of a wrong type.", "该模型的卡片含有类型错误的内容。"],
  "card.input": ["This model takes tensors, and this page has pictures.", "该模型的输入是张量，而本页提供图片。"],
  "card.classes": ["The card of this model does not name its classes.", "该模型的卡片没有列出类别。"],
  "card.too-many-classes": ["The card of this model names more than 100,000 classes.", "该模型的卡片列出的类别超过 100,000 个。"],
  "card.class-twice": ["The card of this model names a class twice.", "该模型的卡片重复列出了一个类别。"],
  "card.control": ["The card of this model has control characters in a class.", "该模型的卡片的类别名含有控制字符。"],
  "card.preprocess": ["The card of this model has no valid preprocessing.", "该模型的卡片没有有效的预处理设置。"],
  "card.reference": ["The card of this model has reference answers that do not fit its classes.", "该模型的卡片的参考答案与类别不符。"],
  "card.examples": ["The card of this model has example pictures that cannot be shown.", "该模型的卡片含有无法显示的示例图片。"],
};

const asked = globalThis.location && new URLSearchParams(location.search).get("lang");
export const language = (asked || globalThis.navigator?.language || "en").startsWith("zh") ? "zh" : "en";

/** A text in the visitor's language. */
export function say(key, values = {}) {
  const text = TEXTS[key][language === "zh" ? 1 : 0];
  return text.replace(/\{(\w+)\}/g, (mark, name) => (name in values ? String(values[name]) : mark));
}

/** A number with the separators of the visitor's language. */
export const count = (value) => value.toLocaleString(language);

/** Fills the elements that name a text. */
export function fill(root) {
  document.documentElement.lang = language === "zh" ? "zh-CN" : "en";
  for (const element of root.querySelectorAll("[data-text]")) element.textContent = say(element.dataset.text);
  for (const element of root.querySelectorAll("[data-label]")) element.setAttribute("aria-label", say(element.dataset.label));
}
