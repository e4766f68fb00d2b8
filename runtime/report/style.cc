#include "runtime/report/style.h"

namespace zoetrope {

std::string_view color_css() {
  return R"(:root{color-scheme:light dark;--paper:#fff;--ink:#1b1f24;--soft:#5a6470;--rule:#d9dee4;--panel:#f5f7f9;
--good:#1a7f37;--warn:#9a6700;--bad:#cf222e;--c0:#0072b2;--c1:#e69f00;--c2:#009e73;--c3:#cc79a7;--c4:#56b4e9;--c5:#d55e00;
--c6:#8c7a00;--c7:#7a7f87}
@media(prefers-color-scheme:dark){:root{--paper:#14171b;--ink:#e6e9ed;--soft:#9aa4b0;--rule:#333b44;--panel:#1d2228;
--good:#4ac26b;--warn:#d4a72c;--bad:#ff7b72;--c0:#4ba3e3;--c1:#f0b429;--c2:#2fc79a;--c3:#e39bc6;--c4:#8accf2;--c5:#f07f3c;
--c6:#d9c84a;--c7:#a9b0b8}}
)";
}

std::string_view plot_css() {
  return R"(.plot{font:12px system-ui,sans-serif;fill:var(--ink)}.plot text{fill:var(--ink)}.plot .t{font-size:13px;font-weight:600}
.plot .s{fill:var(--soft)}.plot .g{stroke:var(--rule);stroke-width:1}.plot .m{stroke:var(--bad);stroke-width:1.5;stroke-dasharray:6 4}
.plot .b{fill:var(--paper)}.plot .w{stroke:var(--ink);stroke-width:1.2;fill:none}
.plot .l{fill:none;stroke-width:2;stroke-linejoin:round}.plot .d{stroke-dasharray:5 4}.plot .p{stroke:var(--paper);stroke-width:1}
.plot .o{fill-opacity:.55}.f0{fill:var(--c0)}.f1{fill:var(--c1)}.f2{fill:var(--c2)}.f3{fill:var(--c3)}.f4{fill:var(--c4)}
.f5{fill:var(--c5)}.f6{fill:var(--c6)}.f7{fill:var(--c7)}.k0{stroke:var(--c0)}.k1{stroke:var(--c1)}.k2{stroke:var(--c2)}
.k3{stroke:var(--c3)}.k4{stroke:var(--c4)}.k5{stroke:var(--c5)}.k6{stroke:var(--c6)}.k7{stroke:var(--c7)}
)";
}

std::string_view page_css() {
  return R"(*{box-sizing:border-box}body{margin:0 auto;padding:1rem;max-width:62rem;background:var(--paper);color:var(--ink);
font:16px/1.5 system-ui,sans-serif;overflow-wrap:anywhere}h1{font-size:1.6rem;line-height:1.2;margin:.5rem 0}h2{font-size:1.2rem;
margin:2rem 0 .5rem;border-bottom:1px solid var(--rule)}h3{font-size:1rem;margin:1.2rem 0 .3rem}p{margin:.5rem 0}
.sub,figcaption,footer{color:var(--soft);font-size:.9rem}figure{margin:1rem 0}.scroll{overflow-x:auto}
.scroll svg{display:block;width:100%;min-width:27rem;max-width:56rem;height:auto}table{border-collapse:collapse;font-size:.9rem;
font-variant-numeric:tabular-nums;overflow-wrap:normal}th,td{padding:.25rem .6rem;text-align:left;vertical-align:top;
border-bottom:1px solid var(--rule)}th{background:var(--panel)}.n{text-align:right;white-space:nowrap}.good{color:var(--good)}
.warn{color:var(--warn)}.bad{color:var(--bad);font-weight:600}pre{background:var(--panel);padding:.6rem;overflow-x:auto;
font-size:.85rem}img{max-width:100%;height:auto;image-rendering:auto}.row{display:flex;flex-wrap:wrap;gap:.8rem}
.row figure{margin:0;flex:1 1 14rem;max-width:100%}
)";
}

}  // namespace zoetrope
