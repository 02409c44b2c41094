"""Floor 4: hash models, one file a method."""

from deephash.models.base import AlternatingHashModel, HashModel
from deephash.models.bebr import BEBR
from deephash.models.bihalf import BiHalf
from deephash.models.catalogue import baseline_methods, method_named, methods, training_free_methods
from deephash.models.cca import CCAHash, CrossModalPCA
from deephash.models.cibhash import CIBHash
from deephash.models.cmfh import CMFH
from deephash.models.cross_modal_itq import CrossModalITQ
from deephash.models.crovca import CrossModalCroVCA, CroVCA
from deephash.models.csce_net import CSCENet
from deephash.models.csq import CSQ
from deephash.models.dcmh import DCMH
from deephash.models.djsrh import DJSRH
from deephash.models.dlch import DLCH
from deephash.models.dpn import DPN
from deephash.models.dpsh import DPSH
from deephash.models.dtsh import DTSH
from deephash.models.greedyhash import GreedyHash, GreedyHashUnsupervised
from deephash.models.hashing_baseline import HashingBaseline
from deephash.models.hashnet import HashNet
from deephash.models.head import HeadHashModel
from deephash.models.hib import HIB
from deephash.models.itq import ITQ
from deephash.models.linear_hash import CrossModalInfoNCE, CrossModalOrthoHash
from deephash.models.loading import load_model
from deephash.models.lsh import LSH
from deephash.models.multi_view import MultiViewEnhancementHash
from deephash.models.objective import BatchHook, ObjectiveHashModel
from deephash.models.optimizers import Optimizer
from deephash.models.orthohash import OrthoHash
from deephash.models.pca_sign import PCASign
from deephash.models.poeem import Poeem
from deephash.models.rreh import RREH
from deephash.models.sdc import SDC
from deephash.models.tldr import TLDR
from deephash.models.ucch import UCCH

__all__ = [
    "BEBR",
    "CMFH",
    "CSQ",
    "DCMH",
    "DJSRH",
    "DLCH",
    "DPN",
    "DPSH",
    "DTSH",
    "HIB",
    "ITQ",
    "LSH",
    "RREH",
    "SDC",
    "TLDR",
    "UCCH",
    "AlternatingHashModel",
    "BatchHook",
    "BiHalf",
    "CCAHash",
    "CIBHash",
    "CSCENet",
    "CroVCA",
    "CrossModalCroVCA",
    "CrossModalITQ",
    "CrossModalInfoNCE",
    "CrossModalOrthoHash",
    "CrossModalPCA",
    "GreedyHash",
    "GreedyHashUnsupervised",
    "HashModel",
    "HashNet",
    "HashingBaseline",
    "HeadHashModel",
    "MultiViewEnhancementHash",
    "ObjectiveHashModel",
    "Optimizer",
    "OrthoHash",
    "PCASign",
    "Poeem",
    "baseline_methods",
    "load_model",
    "method_named",
    "methods",
    "training_free_methods",
]
