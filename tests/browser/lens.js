// What the tests look at a notebook's page with. It is put into every page as `window.lens`; a
// "node" is a part of the page, such as a widget or the output of a cell.
window.lens = (() => {
  const images = node => [...node.querySelectorAll('img')];
  const shown = element => element.getClientRects().length > 0;

  // A number for what the pictures in `node` show, pixel by pixel (FNV-1a).
  function pixels(node) {
    let hash = 2166136261;
    for (const image of images(node)) {
      const canvas = document.createElement('canvas');
      [canvas.width, canvas.height] = [image.naturalWidth || 1, image.naturalHeight || 1];
      const pen = canvas.getContext('2d');
      pen.drawImage(image, 0, 0);
      const data = pen.getImageData(0, 0, canvas.width, canvas.height).data;
      for (const word of new Uint32Array(data.buffer)) {
        hash = Math.imul(hash ^ word, 16777619);
      }
    }
    return hash;
  }

  // What one sees: the pictures, and all text but that of the controls.
  function look(node) {
    const texts = [...node.querySelectorAll('.widget-html-content')].map(each => each.innerText);
    return { pixels: pixels(node), text: texts.join('\n').trim() };
  }

  // Resolves with what is seen as soon as it differs from `before`, or after `limit` ms with null.
  function change(node, before, limit) {
    const end = performance.now() + limit;
    return new Promise(done => {
      const again = () => {
        const now = images(node).every(image => image.complete) ? look(node) : before;
        if (now.pixels !== before.pixels || now.text !== before.text) done(now);
        else if (performance.now() > end) done(null);
        else requestAnimationFrame(again);
      };
      again();
    });
  }

  // From the next key press to the frame with new pixels, in ms: `await lens.elapsed` afterwards;
  // null if none come in `limit` ms. A picture is either exchanged (`src` changes) or replaced.
  function watch(node, limit) {
    const before = pixels(node);
    let pressed = NaN;
    const press = () => { pressed = performance.now(); };
    document.addEventListener('keydown', press, { capture: true, once: true });
    window.lens.elapsed = new Promise(done => {
      const drawn = () => {
        const now = performance.now();
        if (pixels(node) === before) return;
        observer.disconnect();
        done(now - pressed);
      };
      // A message sent in an animation frame arrives after that frame was drawn.
      const next = () => {
        const { port1, port2 } = new MessageChannel();
        port1.onmessage = drawn;
        port2.postMessage(0);
      };
      const arrived = image => image.decode().then(
        () => requestAnimationFrame(next), () => {}  // replaced before it was shown: never mind
      );
      const observer = new MutationObserver(mutations => {
        for (const { target, addedNodes } of mutations) {
          for (const each of [target, ...addedNodes]) {
            if (each.nodeName === 'IMG') arrived(each);
            else if (each !== target && each.querySelectorAll) images(each).forEach(arrived);
          }
        }
      });
      setTimeout(() => { observer.disconnect(); done(null); }, limit);
      observer.observe(node, { subtree: true, childList: true, attributeFilter: ['src'] });
    });
  }

  // The controls that can be used: they get a number each as `data-lens`, in the order of the page.
  function controls(node) {
    const wanted = '[role=slider], select, input, textarea, button';
    const usable = [...node.querySelectorAll(wanted)].filter(
      each => shown(each) && !each.disabled && !each.closest('[disabled]')
    );
    return usable.map((each, number) => {
      each.dataset.lens = number;
      const beside = each.closest('.widget-inline-hbox')?.querySelectorAll('label') ?? [];
      const label = [...beside].filter(shown).map(one => one.innerText).join('').replace('\u200b', '').trim();
      const role = each.getAttribute('role') ?? each.type;
      return { number, role, label: each.matches('button') ? each.innerText : label };
    });
  }

  // Colours as computed: "rgb(1, 2, 3)" or "rgba(1, 2, 3, 0.5)".
  const colour = text => text.match(/[\d.]+/g).map(Number);
  function luminance([red, green, blue]) {
    const [r, g, b] = [red, green, blue].map(level => {
      const share = level / 255;
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  }
  function ground(element) {
    for (let each = element; each; each = each.parentElement) {
      const [r, g, b, alpha = 1] = colour(getComputedStyle(each).backgroundColor);
      if (alpha > 0.5) return [r, g, b];
    }
    return [255, 255, 255];
  }

  // The contrast of each text with what is behind it, as WCAG 2 defines it: 1 to 21.
  function contrasts(node) {
    const walker = document.createTreeWalker(node, NodeFilter.SHOW_TEXT);
    const found = [];
    while (walker.nextNode()) {
      const element = walker.currentNode.parentElement;
      const text = walker.currentNode.data.trim();
      if (!text || !shown(element) || element.closest('[disabled], :disabled, style')) continue;
      const [one, other] = [colour(getComputedStyle(element).color), ground(element)]
        .map(luminance).sort((a, b) => b - a);
      found.push({ text, contrast: (one + 0.05) / (other + 0.05) });
    }
    return found;
  }

  // What is cut off or must be scrolled sideways: in the node, or by a part of the page around it.
  function overflows(node) {
    const around = [];
    for (let each = node; each && !each.matches('.jp-Notebook'); each = each.parentElement) {
      around.push(each);
    }
    const scrolls = each => each.scrollWidth > each.clientWidth + 1
      && shown(each) && getComputedStyle(each).overflowX !== 'visible';
    return [...around, ...node.querySelectorAll('*')].filter(scrolls).map(
      each => `${each.className || each.nodeName} (${each.scrollWidth} > ${each.clientWidth} px)`
        + ` ${each.innerText.slice(0, 60)}`
    );
  }

  // Errors that the kernel reports from now on, those of a widget's callbacks among them.
  const errors = [];
  function listen() {
    const kernel = window.jupyterapp.shell.currentWidget.sessionContext.session.kernel;
    kernel.iopubMessage.connect((_, { header, content }) => {
      if (header.msg_type === 'error') errors.push(`${content.ename}: ${content.evalue}`);
      if (header.msg_type === 'stream' && content.name === 'stderr') errors.push(content.text);
    });
  }

  // Resolves with true when `work` is done, or after `limit` ms with false.
  const within = (limit, work) => Promise.race([
    work.then(() => true), new Promise(late => setTimeout(late, limit, false))
  ]);

  return { within, look, change, watch, controls, contrasts, overflows, listen, errors };
})();
