"""Small networks for small pictures, and those whose published weights no library carries."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from deephash.backbones.pretrained import NetworkEncoder
from deephash.backbones.spec import Backbone
from deephash.backbones.weights import load_into
from deephash.encoding.transform import PictureTransform
from deephash.encoding.weight_files import find_weights, names_a_file
from deephash.errors import UsageError, WeightsNotFound

_HALF = (0.5, 0.5, 0.5)


class SmallEncoder(NetworkEncoder):
    """Shared by the families below: fresh weights, or those of a local file; none has weights on a hub."""

    def load(self, spec: Backbone, example: str) -> None:
        """Load the file that ``spec`` names, if it names one."""
        if spec.weights is None:
            return
        if not names_a_file(spec.weights):
            raise WeightsNotFound(
                f"{spec.name} has no weights on a hub (weights={spec.weights!r}). Give a file, for example {example}, "
                "or weights: null with frozen: false to train it from the start"
            )
        load_into(self.network, find_weights(spec.weights), spec.name)


class SmallCNN(SmallEncoder):
    """``small_cnn:CHANNELS``: five 3x3 convolutions with batch norm, for pictures of 8 to 64 pixels; D = 4 CHANNELS."""

    def __init__(self, spec: Backbone, detail: str) -> None:
        super().__init__()
        width = int(_number(spec, detail, "32"))
        stages = [(3, width), (width, width), (width, 2 * width), (2 * width, 2 * width), (2 * width, 4 * width)]
        layers: list[nn.Module] = []
        for stage, (before, after) in enumerate(stages):
            layers += [nn.Conv2d(before, after, 3, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
            if stage in (1, 3):
                layers.append(nn.MaxPool2d(2))
        self.network = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.num_features = 4 * width
        self.load(spec, "my_small_cnn.safetensors")
        self.settle(spec, PictureTransform(size=32, resize=32, mean=_HALF, std=_HALF))


class CifarResNetEncoder(SmallEncoder):
    """``cifar_resnet:DEPTH`` (20, 32, 44, 56, ...): He et al. 2016 for 32-pixel pictures, option A; D = 64."""

    def __init__(self, spec: Backbone, detail: str) -> None:
        super().__init__()
        depth = int(_number(spec, detail, "20"))
        if depth < 8 or (depth - 2) % 6:
            raise UsageError(f"cifar_resnet has depth 6n + 2 (20, 32, 44, 56, 110), not {depth}")
        self.network = CifarResNet((depth - 2) // 6)
        self.num_features = 64
        self.load(spec, "cifar10_resnet20.safetensors")
        self.settle(spec, PictureTransform(size=32, resize=32))


class CifarResNet(nn.Module):
    """Three stages of ``blocks`` residual blocks with 16, 32 and 64 channels."""

    def __init__(self, blocks: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1 = self._stage(16, 16, blocks, 1)
        self.layer2 = self._stage(16, 32, blocks, 2)
        self.layer3 = self._stage(32, 64, blocks, 2)

    @staticmethod
    def _stage(before: int, after: int, blocks: int, stride: int) -> nn.Sequential:
        first = ResidualBlock(before, after, stride)
        return nn.Sequential(first, *(ResidualBlock(after, after, 1) for _ in range(blocks - 1)))

    def forward(self, pictures: Tensor) -> Tensor:
        """Return features [B, 64] of pictures [B, 3, 32, 32]."""
        hidden = F.relu(self.bn1(self.conv1(pictures)))
        hidden = self.layer3(self.layer2(self.layer1(hidden)))
        features: Tensor = hidden.mean(dim=(2, 3))
        return features


class ResidualBlock(nn.Module):
    """Two convolutions beside a shortcut without weights: every second pixel, new channels zero."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.stride, self.padding = stride, (after - before) // 2
        self.conv1 = nn.Conv2d(before, after, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(after)
        self.conv2 = nn.Conv2d(after, after, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(after)

    def forward(self, hidden: Tensor) -> Tensor:
        """Return [B, after, H / stride, W / stride]."""
        residual = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(hidden)))))
        shortcut = F.pad(hidden[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, self.padding, self.padding))
        return F.relu(residual + shortcut)


class MobileNetV1Encoder(SmallEncoder):
    """``mobilenet_v1:WIDTH`` (0.25, 0.5, 1.0): Howard et al. 2017 with TensorFlow's padding and folded batch norm."""

    def __init__(self, spec: Backbone, detail: str) -> None:
        super().__init__()
        width = _number(spec, detail, "0.25")
        self.network = MobileNetV1(width)
        self.num_features = self.network.num_features
        self.load(spec, "mobilenetv1_025_128_imagenet.safetensors")
        self.settle(spec, PictureTransform(size=128, resize=128, interpolation="bilinear", mean=_HALF, std=_HALF))


class MobileNetV1(nn.Module):
    """One convolution and thirteen pairs of a depth-wise and a point-wise one."""

    PAIRS = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *((512, 1),) * 5, (1024, 2), (1024, 1))

    def __init__(self, width: float) -> None:
        super().__init__()
        channels = max(8, int(32 * width))
        layers: list[nn.Module] = [SamePaddedConv(3, channels, 3, stride=2)]
        for wide, stride in self.PAIRS:
            after = max(8, int(wide * width))
            layers.append(SamePaddedConv(channels, channels, 3, stride=stride, groups=channels))
            layers.append(SamePaddedConv(channels, after, 1))
            channels = after
        self.convs = nn.ModuleList(layers)
        self.num_features = channels

    def forward(self, pictures: Tensor) -> Tensor:
        """Return features [B, D]."""
        for layer in self.convs:
            pictures = F.relu6(layer(pictures))
        return pictures.mean(dim=(2, 3))


class SamePaddedConv(nn.Conv2d):
    """A convolution that pads as TensorFlow's SAME does: output ceil(n / stride), the odd pixel right and below."""

    def forward(self, input: Tensor) -> Tensor:
        """Return [B, channels, ceil(H / stride), ceil(W / stride)]."""
        kernel, stride = self.kernel_size[0], self.stride[0]
        rows, columns = (max((-(-n // stride) - 1) * stride + kernel - n, 0) for n in input.shape[-2:])
        padded = F.pad(input, (columns // 2, columns - columns // 2, rows // 2, rows - rows // 2))
        return super().forward(padded)


def _number(spec: Backbone, detail: str, example: str) -> float:
    try:
        value = float(detail)
    except ValueError:
        value = 0
    if value <= 0:
        family = spec.name.partition(":")[0]
        raise UsageError(
            f"backbone {spec.name!r} needs a positive number after the colon, for example {family}:{example}"
        )
    return value
