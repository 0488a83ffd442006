<?php
defined('BASEPATH') OR exit('No direct script access allowed');

/** Protects the controllers that config/sso.php names, before their methods run. */
class Sso_hook
{
    public function protect()
    {
        $CI = get_instance();
        $name = strtolower($CI->router->directory . $CI->router->class);
        if ($name !== 'sso_login') {
            $CI->load->library('sso');
            $CI->sso->protect($name);
        }
    }
}
