<?php

namespace Config;

use CodeIgniter\Config\AutoloadConfig;

// What Composer would say: where the package is.
class Autoload extends AutoloadConfig
{
    public $psr4 = [];
    public $files = [];
    public $helpers = [];

    public function __construct()
    {
        $package = getenv('SSO_PACKAGE');
        $this->psr4 = [APP_NAMESPACE => APPPATH, 'Sso\CodeIgniter4' => "$package/src/CodeIgniter4", 'Sso' => "$package/src"];
        $this->files = ["$package/SsoClient.php"];
        parent::__construct();
    }
}
